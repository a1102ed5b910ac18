"""`python -m aws_setup` as people use it, on the running local account."""

from __future__ import annotations

import contextlib
import json
import platform
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from aws_setup.cli import main
from ingest_assets.aws.raw_layer import RawLayerOfBucket
from ingest_assets.aws.stack import StackOutputs
from tests.integration.local_aws.conftest import wait_for

Capture = pytest.CaptureFixture[str]
FEBRUARY = '{"table": "mockrecord", "months": ["2024-02"]}'


@pytest.fixture
def _wrong_password(
    session: boto3.session.Session, outputs: StackOutputs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The secret has a wrong password, set by the command that people use."""
    client = session.client("secretsmanager")
    right = client.get_secret_value(SecretId=outputs.database_secret_arn)["SecretString"]
    fields = {**json.loads(right), "POSTGRES_PASSWORD": "hunter2"}
    lines = "\n".join(f"{name}={value}" for name, value in fields.items())
    monkeypatch.setattr("sys.stdin", StringIO(lines))
    assert main(["secret"]) == 0
    yield
    client.put_secret_value(SecretId=outputs.database_secret_arn, SecretString=right)


@pytest.fixture(scope="module")
def followed(account: object) -> str:
    """What `trigger --wait` printed about the execution that ingested February."""
    with contextlib.redirect_stdout(StringIO()) as out:
        assert main(["trigger", "--wait", "--input", FEBRUARY]) == 0
    return out.getvalue()


def test_trigger_follows_the_execution_and_counts_what_it_ingested(
    followed: str, source: psycopg.Connection[Any], capsys: Capture
) -> None:
    counted = source.execute(
        "SELECT count(*) FROM mockrecord WHERE start_date_time >= '2024-02-01' AND start_date_time < '2024-03-01'"
    ).fetchone()
    assert counted is not None
    lines = followed.splitlines()
    assert lines[0].startswith("started arn:aws:states:")
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d Running the Spark job", line) for line in lines)
    assert any(line == "mockrecord: few rows, which the driver reads itself" for line in lines)
    assert any(line.startswith("mockrecord: 1 of 1 month committed, ") for line in lines)
    assert any(re.fullmatch(rf"mockrecord +2024-02 +{counted[0]:,} rows +[\d,]+ bytes", line) for line in lines)
    assert re.search(rf"succeeded: {counted[0]:,} rows in 1 month, [\d,]+ rows without a month$", lines[-1])
    assert main(["trigger", "--estimate", "--input", FEBRUARY]) == 0
    [estimate] = capsys.readouterr().out.splitlines()
    rows = round(counted[0], -2)  # two digits of four
    assert re.fullmatch(
        rf"1 month of mockrecord, about {rows:,} rows: about \d+ (seconds|minutes), .*\$0\.\d\d", estimate
    )

    assert main(["trigger", "--estimate", "--input", json.dumps({**json.loads(FEBRUARY), "refresh": True})]) == 0
    assert capsys.readouterr().out.startswith(f"if every month has changed: {estimate}")


@pytest.mark.usefixtures("followed")
def test_trigger_looks_which_months_have_changed_and_ingests_nothing(
    source: psycopg.Connection[Any], session: boto3.session.Session, outputs: StackOutputs, capsys: Capture
) -> None:
    raw_layer = RawLayerOfBucket(session.client("s3"), outputs.bucket_name)
    before = raw_layer.current("mockrecord", "2024-02")
    source.execute(
        "DELETE FROM mockrecord WHERE ctid = (SELECT ctid FROM mockrecord WHERE start_date_time >= '2024-02-02'"
        " AND start_date_time < '2024-02-28' LIMIT 1)"
    )
    assert before is not None
    assert main(["trigger", "--look", "--input", FEBRUARY]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == [
        "mockrecord: 1 of 1 month changed",
        f"  2024-02  rows {before.rows:,} → {before.rows - 1:,}",
    ]
    assert lines[-1].endswith("succeeded: nothing was ingested")
    assert raw_layer.current("mockrecord", "2024-02") == before


def test_trigger_looks_at_no_input_that_is_no_object(account: object, capsys: Capture) -> None:
    assert main(["trigger", "--look", "--input", "[1]"]) == 2
    assert "must be a JSON object, not [1]" in capsys.readouterr().err


@pytest.mark.usefixtures("_wrong_password")
def test_trigger_shows_the_error_and_the_drivers_last_lines(account: object, capsys: Capture) -> None:
    assert main(["trigger", "--wait", "--input", FEBRUARY]) == 1
    shown = capsys.readouterr().out
    assert "has FAILED: States.TaskFailed" in shown
    assert "password" in shown
    assert re.search(
        r"last lines of s3://data-lake-local/logs/applications/\w+/jobs/\w+/SPARK_DRIVER/stdout\.gz:\n    ", shown
    )
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"table": "nothing", "months": ["2024-02"]}', "unknown table 'nothing'"),
        ('{"table": "mockrecord", "months": ["2024-2"]}', "'2024-2' is not a month"),
        ('{"table": "mockrecord", "months": ["1999-01"]}', "before its first_month"),
        ('{"table": "mockrecord", "months": ["2999-01"]}', "in the future"),
        ('{"tables": ["mockrecord"]}', "the input has the keys ['tables']"),
    ],
)
def test_trigger_refuses_a_wrong_input_before_it_starts_anything(
    session: boto3.session.Session, outputs: StackOutputs, capsys: Capture, text: str, message: str
) -> None:
    def executions() -> int:
        client = session.client("stepfunctions")
        return len(client.list_executions(stateMachineArn=outputs.state_machine_arn)["executions"])

    before = executions()
    assert main(["trigger", "--input", text]) == 2
    assert message in capsys.readouterr().err
    assert executions() == before


def test_trigger_refuses_tables_that_were_changed_and_not_deployed(
    account: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    changed = tmp_path / "tables.yaml"
    changed.write_text("- {table: public.mockrecord, date_column: end_date_time, first_month: 2023-01}\n")
    monkeypatch.setenv("INGEST_TABLES", str(changed))
    assert main(["trigger", "--input", "{}"]) == 2
    assert "run `python -m aws_setup deploy`" in capsys.readouterr().err


def test_status_is_the_same_for_people_and_programs(outputs: StackOutputs, capsys: Capture) -> None:
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stack_status"], found["outputs"]["BucketName"]) == ("CREATE_COMPLETE", outputs.bucket_name)
    assert (found["schedule"]["state"], found["schedule"]["timezone"]) == ("DISABLED", "America/Chicago")
    assert found["queues"][0]["url"] == outputs.queue_url
    assert main(["status"]) == 0
    assert "stack         data-lake-ingestion: CREATE_COMPLETE" in capsys.readouterr().out


def test_status_reports_a_schedule_that_was_changed_by_hand(
    session: boto3.session.Session, outputs: StackOutputs, capsys: Capture
) -> None:
    client = session.client("scheduler")
    answer = client.get_schedule(Name=outputs.schedule_name)
    before: Any = {
        key: answer[key]
        for key in ("Name", "ScheduleExpression", "ScheduleExpressionTimezone", "State", "FlexibleTimeWindow", "Target")
    }
    client.update_schedule(**{**before, "ScheduleExpression": "cron(0 3 1 * ? *)"})
    try:
        assert main(["status", "--no-drift"]) == 0
    finally:
        client.update_schedule(**before)
    expected = "has the expression cron(0 3 1 * ? *) in EventBridge, Dagster has cron(0 2 1,15"
    assert expected in capsys.readouterr().out


def test_status_reports_an_application_that_is_left_over(
    session: boto3.session.Session, outputs: StackOutputs, capsys: Capture
) -> None:
    client = session.client("emr-serverless")
    made = client.create_application(
        name="EMR-Step-Function", releaseLabel="emr-7.14.0", type="SPARK", clientToken="left"
    )
    left = made["applicationId"]
    wait_for(client, left, "CREATED")  # an application that is still being created cannot be deleted
    try:
        assert main(["status", "--no-drift"]) == 0
    finally:
        client.delete_application(applicationId=left)
    line = next(line for line in capsys.readouterr().out.splitlines() if left in line)
    assert line.endswith("idle, which costs nothing; left over, since no execution is running: stop and delete it")


@pytest.mark.usefixtures("followed")
def test_preflight_finds_nothing_to_do_in_a_working_account_and_says_what_the_last_job_ran_on(
    capsys: Capture,
) -> None:
    assert main(["preflight"]) == 0
    *others, last = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in others} == {"ok"}
    assert re.fullmatch(
        rf"runtime   note     Python {platform.python_version()}, boto3 {boto3.__version__}, Spark 3\.5\.\d+, "
        r"Hadoop 3\.\d+\.\d+, s3:// by org\.apache\.hadoop\.fs\.viewfs\.ViewFileSystemOverloadScheme",
        last,
    )
    assert main(["preflight", "--json"]) == 0
    assert [one["check"] for one in json.loads(capsys.readouterr().out)["findings"]] == ["runtime"]


def test_deploying_again_changes_nothing_but_the_uploads(outputs: StackOutputs, capsys: Capture) -> None:
    assert main(["deploy"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stack data-lake-ingestion is up to date"
    assert main(["deploy", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stack data-lake-ingestion would not change"


def test_a_stack_that_does_not_exist_is_named(
    account: object, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("INGEST_STACK", "nowhere")
    for command in (["status"], ["trigger"], ["destroy", "--yes"]):
        assert main(command) == 2
        assert "no stack named nowhere" in capsys.readouterr().err
