from __future__ import annotations

import json
import logging
from dataclasses import replace

import dagster as dg

from spark_scripts.contract import layout
from spark_scripts.contract.progress import Progress
from tests.unit.ingest_assets.fakes import APPLICATION, JOB, FakeAws, FakeExecution, entered, nothing
from tests.unit.ingest_assets.harness import Dagster, value


def fail(execution: FakeExecution, details: str = "ExitCode: 1. Last few exceptions: IngestionError: gone") -> None:
    execution.status, execution.error = "FAILED", "States.TaskFailed"
    execution.cause = json.dumps({"JobRunId": JOB, "State": "FAILED", "StateDetails": details})
    failed = {"type": "TaskFailed", "taskFailedEventDetails": {"cause": execution.cause, "error": "States.TaskFailed"}}
    execution.events.append(failed)


def test_a_month_is_ingested_by_one_execution_with_its_metadata(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [nothing, aws.commits("2024-02", rows=10)]
    assert dagster.materialize("2024-02").success

    [started] = aws.step_functions.started
    assert started["input"] == {"table": "mockrecord", "months": ["2024-02"], "requested_by": dagster.run_id}
    assert list(dagster.months()) == ["2024-02"]
    metadata = dagster.months()["2024-02"]
    console = "https://us-east-1.console.aws.amazon.com"
    arn = f"arn:aws:states:us-east-1:123456789012:execution:EMRServerlessStepFunction:{started['name']}"
    folder = "raw-layer/mockrecord/year%3D2024/month%3D2/"
    expected = {
        "dagster/partition_row_count": 10,
        "dagster/size_bytes": 1000,
        "dagster/uri": "s3://lake/raw-layer/mockrecord/year=2024/month=2/",
        "source_rows": 10,
        "undated_rows": 3,
        "files": 1,
        "seconds": 2.5,
        "min_date": "2024-02-01 00:00:00",
        "max_date": "2024-02-28 23:59:59",
        "snapshot": "00000003-0000001B-1",
        "execution_name": started["name"],
        "execution": f"{console}/states/home?region=us-east-1#/v2/executions/details/{arn}",
        "folder": f"{console}/s3/buckets/lake?region=us-east-1&prefix={folder}",
        "job_run": f"{console}/s3/buckets/lake?region=us-east-1&prefix=logs/applications/{APPLICATION}/jobs/{JOB}/",
        "job_run_id": JOB,
        "application_id": APPLICATION,
    }
    assert {key: value(metadata, key) for key in expected} == expected
    assert value(metadata, "dagster/column_schema").columns == [
        dg.TableColumn("id", "bigint"),
        dg.TableColumn("questions_list", "text[]", "what was asked"),
    ]


def test_an_empty_month_is_a_month(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-02", rows=0)]
    assert dagster.materialize("2024-02").success
    metadata = dagster.months()["2024-02"]
    assert [value(metadata, key) for key in ("dagster/partition_row_count", "files")] == [0, 0]
    assert "min_date" not in metadata


def test_a_range_is_one_execution_and_each_month_has_its_own_metadata(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01", rows=1), aws.commits("2024-02", "2024-03", rows=2)]
    assert dagster.materialize("2024-01", "2024-03").success
    assert [started["input"]["months"] for started in aws.step_functions.started] == [["2024-01", "2024-02", "2024-03"]]
    rows = {month: value(metadata, "dagster/partition_row_count") for month, metadata in dagster.months().items()}
    assert rows == {"2024-01": 1, "2024-02": 2, "2024-03": 2}


def test_the_run_s_log_has_each_state_once_and_each_month_when_it_is_committed(aws: FakeAws, dagster: Dagster) -> None:
    execution = aws.step_functions.next
    execution.answers = [nothing, aws.commits("2024-01"), nothing, aws.commits("2024-02")]
    execution.events.append(entered("Succeeded"))
    assert dagster.materialize("2024-01", "2024-02").success
    name = aws.step_functions.started[0]["name"]
    log = [line for line in dagster.log() if not line.startswith(("Materialized", "Resource"))]
    told = log[log.index(next(line for line in log if line.startswith("Started execution mock"))) :][:7]
    assert told[0].startswith(f"Started execution {name}: https://us-east-1.console.aws.amazon.com/states/")
    opens = f"To open the job's Spark UI: python -m aws_setup dashboard {name}"
    assert told[1:5] == [
        "Creating an EMR Serverless application",
        "Running the Spark job",
        opens,
        "State Succeeded",
    ]
    assert told[5:] == ["2024-01: 10 rows, 1,000 bytes, 2.5 s", "2024-02: 10 rows, 1,000 bytes, 2.5 s"]


def test_a_task_that_failed_is_a_warning_in_words(aws: FakeAws, dagster: Dagster) -> None:
    fail(aws.step_functions.next)
    aws.step_functions.next.events[-1]["taskFailedEventDetails"]["resource"] = "startJobRun.sync"
    assert not dagster.materialize("2024-02").success
    [(level, text)] = [
        (entry.level, entry.user_message) for entry in dagster.entries() if "job failed" in entry.user_message
    ]
    assert (level, text) == (logging.WARNING, "The Spark job failed (States.TaskFailed)")


def test_a_run_that_succeeds_says_nothing_of_outputs_that_are_missing(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01", "2024-02")]
    assert dagster.materialize("2024-01", "2024-02").success
    assert not [line for line in dagster.log() if "did not yield" in line]
    assert dagster.check().success
    assert not [line for line in dagster.log() if "did not yield" in line]


def test_an_application_that_was_given_is_named_in_the_input(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02", application_id="00kept").success
    assert aws.step_functions.started[0]["input"]["application_id"] == "00kept"


def test_a_failure_names_state_error_and_job_run_and_ends_with_the_driver_s_log(aws: FakeAws, dagster: Dagster) -> None:
    fail(aws.step_functions.next)
    lines = [f"INFO line {number}" for number in range(30)]
    aws.s3.log(*lines)
    aws.s3.log(
        "Traceback (most recent call last):", "IngestionError: table mockrecord: column x is gone", name="stdout"
    )
    assert not dagster.materialize("2024-02").success

    text = dagster.failure_text().splitlines()
    name = aws.step_functions.started[0]["name"]
    folder = f"s3://lake/logs/applications/{APPLICATION}/jobs/{JOB}/SPARK_DRIVER"
    assert text[4].startswith("What to try: fix the cause, then materialise the months that were not")
    del text[4]
    assert text[:5] == [
        f"Execution {name} is FAILED",
        "Step Functions: States.TaskFailed",
        "Spark: IngestionError: table mockrecord: column x is gone",
        f"Job run {JOB} of application {APPLICATION}",
        f"Last lines of {folder}/stderr.gz:",
    ]
    assert text[5:25] == [f"    INFO line {number}" for number in range(10, 30)]
    assert text[25:] == [f"Last lines of {folder}/stdout.gz:", "    Traceback (most recent call last):"]
    links = dagster.failure().metadata
    assert value({**links}, "execution").endswith(name)
    assert value({**links}, "job_run_id") == JOB
    assert dagster.months() == {}


def test_without_a_log_the_failure_gives_the_reason_of_emr_serverless(aws: FakeAws, dagster: Dagster) -> None:
    fail(aws.step_functions.next, "Job failed. ExitCode: 1. IngestionError: wrong password")
    assert not dagster.materialize("2024-02").success
    assert "Spark: Job failed. ExitCode: 1. IngestionError: wrong password" in dagster.failure_text()


def test_the_failure_of_an_execution_without_an_application_gives_its_cause(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next = FakeExecution("FAILED", events=[], error="InvalidInput", cause="months is empty")
    assert not dagster.materialize("2024-02").success
    text = dagster.failure_text()
    assert text.splitlines()[1:-1] == ["Step Functions: InvalidInput", "months is empty"]


def test_months_committed_before_a_failure_are_materialised(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01", rows=4)]
    fail(aws.step_functions.next)
    assert not dagster.materialize("2024-01", "2024-03").success
    months = dagster.months()
    assert {month: value(metadata, "dagster/partition_row_count") for month, metadata in months.items()} == {
        "2024-01": 4
    }
    assert "Committed before the failure: 2024-01 of 3 months" in dagster.failure_text()


def test_months_of_an_earlier_execution_are_not_materialised_by_a_failure(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-01", "an-earlier-one")
    fail(aws.step_functions.next)
    assert not dagster.materialize("2024-01", "2024-02").success
    assert dagster.months() == {}
    assert "Committed before the failure: none of 2 months" in dagster.failure_text()


def test_a_success_without_a_manifest_is_a_failure(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01")]
    assert not dagster.materialize("2024-01", "2024-02").success
    assert "is SUCCEEDED but left no manifest of 2024-02" in dagster.failure_text()
    assert list(dagster.months()) == ["2024-01"]


def test_the_table_in_postgresql_shows_the_columns_that_it_had(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    source = dg.AssetKey(["postgres", "public", "mockrecord"])
    [record] = dagster.instance.fetch_observations(source, limit=10).records
    assert record.asset_observation
    schema = value(record.asset_observation.metadata, "dagster/column_schema")
    assert [column.name for column in schema.columns] == ["id", "questions_list"]


def test_a_run_names_its_execution_in_a_tag(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    run = dagster.instance.get_run_by_id(dagster.run_id)
    assert run
    assert run.tags["ingest/execution"] == aws.step_functions.started[0]["name"]


def test_the_run_s_log_has_each_line_of_the_job_once_and_the_job_s_progress(aws: FakeAws, dagster: Dagster) -> None:
    progress = Progress("", ("mockrecord: slices by ctid",), 1, "mockrecord", all_months=2, all_rows=20)

    def tells() -> None:
        key = layout.progress_key(aws.step_functions.started[-1]["name"])
        aws.s3.objects[key] = replace(progress, reading="2024-02", read=1, slices=4).to_json().encode()

    aws.step_functions.next.answers = [tells, nothing, aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    assert [line for line in dagster.log() if line.startswith("Spark job: ")] == [
        "Spark job: mockrecord: slices by ctid",
        "Spark job: mockrecord: 0 of 2 months committed, 0 of 20 rows, 2024-02: 1 of 4 slices read",
    ]


def test_a_progress_of_another_release_is_left_unread(aws: FakeAws, dagster: Dagster) -> None:
    def tells() -> None:
        aws.s3.objects[layout.progress_key(aws.step_functions.started[-1]["name"])] = b'{"version": 99}'

    aws.step_functions.next.answers = [tells, aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
