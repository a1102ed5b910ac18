"""Dagster's assets on the local account: real executions, real Spark jobs, and what Dagster then says of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import psycopg
import pytest

from ingest_assets.aws.job_runs import find
from ingest_assets.aws.stack import StackOutputs
from ingest_assets.definitions import build_definitions
from spark_scripts.contract import layout
from spark_scripts.contract.months import Month
from tests.integration.conftest import Account

ROOT = Path(__file__).parents[2]
UNDATED = "start_date_time IS NULL OR NOT isfinite(start_date_time)"


class Materializing:
    """Runs of the raw layer's assets in an instance of their own."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def run(self, table: str, first: str, last: str | None = None) -> dg.ExecuteInProcessResult:
        asset = build_definitions().resolve_assets_def(dg.AssetKey(["raw_layer", table]))
        return dg.materialize(
            [asset],
            instance=self.instance,
            tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first},
            raise_on_error=False,
        )

    def refresh(self, table: str) -> dg.ExecuteInProcessResult:
        """A run of the job refresh_<table>, as the schedule requests it."""
        job = build_definitions().resolve_job_def(f"refresh_{table}")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)

    def months(self, table: str) -> dict[str, dict[str, Any]]:
        """The metadata of each month in the event log, as plain values."""
        records = self.instance.fetch_materializations(dg.AssetKey(["raw_layer", table]), limit=100).records
        events = [record.asset_materialization for record in reversed(records)]
        return {
            event.partition or "": {key: value.value for key, value in event.metadata.items()}
            for event in events
            if event
        }

    def failure(self, result: dg.ExecuteInProcessResult) -> str:
        """The text of the one step that failed."""
        [failed] = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        data = failed.get_dagster_event().step_failure_data
        return (data.user_failure_data and data.user_failure_data.description) or str(data.error)

    def log(self, result: dg.ExecuteInProcessResult) -> list[str]:
        """The messages of the run's log."""
        return [entry.user_message for entry in self.instance.all_logs(result.run_id)]


@pytest.fixture
def dagster(account: Account) -> Iterator[Materializing]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Materializing(instance)


@dataclass(frozen=True)
class Finished:
    """What a run of several tests left: its log, the months' metadata, and the executions that it started."""

    log: list[str]
    months: dict[str, dict[str, Any]]
    executions: set[str]


def finished(session: boto3.session.Session, outputs: StackOutputs, table: str, *months: str) -> Finished:
    before = executions(session, outputs)
    with dg.DagsterInstance.ephemeral() as instance:
        dagster = Materializing(instance)
        result = dagster.run(table, *months)
        assert result.success
        started = executions(session, outputs).keys() - before.keys()
        return Finished(dagster.log(result), dagster.months(table), started)


@pytest.fixture(scope="module")
def february(session: boto3.session.Session, outputs: StackOutputs) -> Finished:
    return finished(session, outputs, "mockrecord", "2024-02")


@pytest.fixture(scope="module")
def march(february: Finished, session: boto3.session.Session, outputs: StackOutputs) -> Finished:
    return finished(session, outputs, "mockrecord", "2024-03")


@pytest.fixture(scope="module")
def winter(session: boto3.session.Session, outputs: StackOutputs) -> Finished:
    return finished(session, outputs, "orders", "2024-01", "2024-03")


def applications(session: boto3.session.Session) -> list[str]:
    """The states of the applications that are left."""
    listed = session.client("emr-serverless").list_applications()["applications"]
    return [application["state"] for application in listed if application["state"] != "TERMINATED"]


def executions(session: boto3.session.Session, outputs: StackOutputs) -> dict[str, str]:
    """Status by name of every execution."""
    listed = session.client("stepfunctions").list_executions(stateMachineArn=outputs.state_machine_arn)["executions"]
    return {execution["name"]: execution["status"] for execution in listed}


def test_a_month_is_materialised_with_the_numbers_of_postgresql(
    february: Finished, bucket: Path, source: psycopg.Connection[Any], outputs: StackOutputs
) -> None:
    [(month, metadata)] = february.months.items()
    assert month == "2024-02"
    rows, first, last = one(
        source,
        "SELECT count(*), min(start_date_time)::text, max(start_date_time)::text FROM public.mockrecord"
        " WHERE start_date_time >= '2024-02-01' AND start_date_time < '2024-03-01'",
    )
    [undated] = one(source, f"SELECT count(*) FROM public.mockrecord WHERE {UNDATED}")
    files = list((bucket / layout.partition_prefix("mockrecord", Month(2024, 2))).glob("*.csv"))
    expected = {
        "dagster/partition_row_count": rows,
        "source_rows": rows,
        "undated_rows": undated,
        "min_date": first,
        "max_date": last,
        "files": len(files),
        "dagster/size_bytes": sum(file.stat().st_size for file in files),
        "dagster/uri": f"s3://{outputs.bucket_name}/raw-layer/mockrecord/year=2024/month=2/",
        "execution_name": february.executions.copy().pop(),
    }
    assert {key: metadata[key] for key in expected} == expected
    assert rows > 0
    assert metadata["seconds"] > 0


def test_the_run_s_log_follows_the_states(february: Finished) -> None:
    states = [
        "Creating an EMR Serverless application",
        "Starting the application",
        "Running the Spark job",
        "Stopping the application",
        "Deleting the application",
        "Publishing the success",
        "Sending the result to the queue",
        "The execution succeeded",
    ]
    assert [line for line in february.log if line in states] == states


def test_the_log_begins_with_an_estimate_and_the_metadata_says_how_far_it_was_off(march: Finished) -> None:
    [name] = march.executions
    [started] = [number for number, line in enumerate(march.log) if line.startswith(f"Started execution {name}:")]
    estimate = re.fullmatch(
        r"1 month of mockrecord( \(never ingested\))?, about [\d,]+ rows: about (\d+ (?:seconds|minutes)), .*\$0\.\d\d",
        march.log[started - 1],
    )
    assert estimate
    told = str(march.months["2024-03"]["estimate"])
    assert told.startswith(f"estimated about {estimate[2]} and ")
    off = float(march.months["2024-03"]["estimate_off_percent"])
    assert told.endswith(f"({off:+.0f} % in time)")
    assert -90 < off < 900


def test_a_range_of_months_is_one_execution_and_one_job_run(
    winter: Finished, source: psycopg.Connection[Any], session: boto3.session.Session
) -> None:
    assert len(winter.executions) == 1
    assert {metadata["execution_name"] for metadata in winter.months.values()} == winter.executions
    assert len({metadata["job_run_id"] for metadata in winter.months.values()}) == 1
    counted = source.execute(
        "SELECT to_char(placed_at AT TIME ZONE 'America/Chicago', 'YYYY-MM') AS month, count(*)"
        """ FROM sales."Orders" WHERE isfinite(placed_at) GROUP BY 1"""
    ).fetchall()
    rows = {month: metadata["dagster/partition_row_count"] for month, metadata in winter.months.items()}
    assert rows == {month: count for month, count in counted if month in ("2024-01", "2024-02", "2024-03")}
    assert [line[:8] for line in winter.log if line.startswith("2024-")] == ["2024-01:", "2024-02:", "2024-03:"]
    assert applications(session) == []


def test_the_columns_are_postgresql_s_with_its_comments(winter: Finished, source: psycopg.Connection[Any]) -> None:
    columns = source.execute(
        "SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute"
        """ WHERE attrelid = 'sales."Orders"'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    ).fetchall()
    schema = winter.months["2024-02"]["dagster/column_schema"]
    assert [(column.name, column.type, column.description) for column in schema.columns] == columns


@pytest.fixture
def without_date_column(source: psycopg.Connection[Any]) -> Iterator[None]:
    source.execute("ALTER TABLE public.mockrecord RENAME start_date_time TO elsewhere")
    yield
    source.execute("ALTER TABLE public.mockrecord RENAME elsewhere TO start_date_time")


@pytest.mark.usefixtures("without_date_column")
def test_a_failing_job_is_told_with_its_error_and_the_end_of_its_log(
    dagster: Materializing, session: boto3.session.Session
) -> None:
    result = dagster.run("mockrecord", "2024-02", "2024-03")
    assert not result.success
    assert dagster.months("mockrecord") == {}

    text = dagster.failure(result).splitlines()
    assert text[0].endswith(" is FAILED")
    [spark] = [line for line in text if line.startswith("Spark: ")]
    assert "start_date_time" in spark
    assert spark.startswith("Spark: IngestionError: ")
    assert not any("NativeCodeLoader" in line for line in text)
    assert sum(spark.removeprefix("Spark: ") in line for line in text) == 1
    assert applications(session) == []


def test_a_terminated_run_leaves_nothing_running(
    dagster: Materializing, session: boto3.session.Session, outputs: StackOutputs
) -> None:
    before = executions(session, outputs)
    step_functions = session.client("stepfunctions")

    def interrupt_when_spark_runs() -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            for name in executions(session, outputs).keys() - before.keys():
                arn = f"{outputs.state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
                run = find(step_functions, arn)
                if run and run.job_run_id:
                    os.kill(os.getpid(), signal.SIGINT)
                    return
            time.sleep(0.2)

    watcher = threading.Thread(target=interrupt_when_spark_runs)
    watcher.start()
    result = dagster.run("mockrecord", "2023-01", "2024-12")
    watcher.join()

    assert not result.success
    [ended] = executions(session, outputs).keys() - before.keys()
    assert executions(session, outputs)[ended] == "ABORTED"
    assert applications(session) == []
    assert any(line.startswith(f"Terminated execution {ended}") for line in dagster.log(result))


def test_tables_that_are_not_deployed_start_nothing(
    dagster: Materializing,
    session: boto3.session.Session,
    outputs: StackOutputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "tables.yaml"
    path.write_text("- {table: public.mockrecord, date_column: end_date_time, first_month: 2023-01}")
    monkeypatch.setenv("INGEST_TABLES", str(path))
    before = executions(session, outputs)
    result = dagster.run("mockrecord", "2024-02")
    assert "(mockrecord, orders): on AWS run `python -m aws_setup deploy`" in dagster.failure(result)
    assert executions(session, outputs) == before


def test_without_the_local_account_one_line_says_what_to_do(
    dagster: Materializing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    text = dagster.failure(dagster.run("mockrecord", "2024-02"))
    assert text.startswith("reading the stack's outputs: nothing answers at http://127.0.0.1:1")
    assert "Start it with `make dev`" in text
    assert len(text.splitlines()) == 1


def test_a_stack_of_another_name_is_asked_for(dagster: Materializing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_STACK", "another")
    text = dagster.failure(dagster.run("mockrecord", "2024-02"))
    assert text == "no stack named another: run `python -m aws_setup deploy`, or set INGEST_STACK"


def test_dagster_finds_the_definitions_valid() -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    validated = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert validated.returncode == 0, validated.stderr
    assert "All code locations passed validation" in validated.stderr + validated.stdout


def one(source: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = source.execute(query.encode()).fetchone()
    assert row is not None
    return tuple(row)
