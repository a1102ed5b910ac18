"""The runs that executions become which Dagster did not start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.test_utils import create_run_for_test

from ingest_assets.checks.specs import CHECKS
from spark_scripts.contract import layout
from spark_scripts.contract.months import UNDATED
from tests.unit.ingest_assets.fakes import STARTED, FakeAws, FakeExecution, manifest, notification
from tests.unit.ingest_assets.harness import KEY, Dagster
from tests.unit.ingest_assets.test_sensor import Queue

STOPPED = STARTED + timedelta(minutes=4)


@pytest.fixture
def queue(aws: FakeAws, dagster: Dagster) -> Queue:
    return Queue(aws, dagster.instance)


def records(queue: Queue) -> dict[str, dg.RunRecord]:
    """The runs by the months in their tags."""
    found = {}
    for record in queue.instance.get_run_records():
        tags = record.dagster_run.tags
        first, last = (tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end"))
        found[tags.get("dagster/partition") or f"{first}..{last}"] = record
    return found


def test_a_recorded_run_has_the_asset_the_months_and_the_times_of_the_execution(aws: FakeAws, queue: Queue) -> None:
    aws.step_functions.executions["n1"] = FakeExecution(stopped=STOPPED)
    aws.s3.commit("2024-01", "n1")
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(notification("SUCCEEDED", months=("2024-01", "2024-02")))
    queue.tick()
    [record] = [records(queue)["2024-01..2024-02"]]
    run = record.dagster_run
    assert (run.status, run.asset_selection) == (dg.DagsterRunStatus.SUCCESS, {KEY})
    assert (record.start_time, record.end_time) == (STARTED.timestamp(), STOPPED.timestamp())
    assert run.tags["dagster/sensor_name"] == "stepfunction_datapipeline"
    assert run.tags["ingest/started_by"] == "Step Functions"
    assert run.tags["ingest/execution"] == "n1"
    assert run.execution_plan_snapshot_id is not None
    plan = queue.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    assert [step.key for step in plan.steps] == ["raw_layer__mockrecord"]


def test_months_apart_are_a_run_each(aws: FakeAws, queue: Queue) -> None:
    for month in ("2024-01", "2024-02", "2024-05"):
        aws.s3.commit(month, "n1")
    aws.sqs.send(notification("SUCCEEDED", months=("2024-01", "2024-02", "2024-05")))
    assert queue.tick() == "recorded mockrecord 2024-01 to 2024-02, 2024-05 from 1 execution; acknowledged 1 message"
    assert records(queue).keys() == {"2024-01..2024-02", "2024-05"}


def test_a_failure_is_a_run_that_failed_with_the_reason_and_is_not_retried(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("2024-01", "n1")
    aws.sqs.send(notification("FAILED", months=("2024-01", "2024-02"), error="States.TaskFailed", cause="no column"))
    told = (
        "recorded mockrecord 2024-01 from 1 execution; recorded that mockrecord 2024-02 failed; acknowledged 1 message"
    )
    assert queue.tick() == told
    run = records(queue)["2024-01..2024-02"].dagster_run
    assert run.status == dg.DagsterRunStatus.FAILURE
    [failed] = queue.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    event = failed.get_dagster_event()
    data = event.step_failure_data.user_failure_data
    assert data
    assert (event.step_key, data.description) == (
        "raw_layer__mockrecord",
        "Execution n1 is FAILED: States.TaskFailed: no column",
    )
    reason = RunFailureReason(run.tags["dagster/failure_reason"])
    assert not auto_reexecution_should_retry_run(queue.instance, run, reason)


def test_an_execution_that_somebody_aborted_is_a_run_that_was_canceled(aws: FakeAws, queue: Queue) -> None:
    aws.sqs.send(notification("ABORTED"))
    queue.tick()
    assert records(queue)["2024-02"].dagster_run.status == dg.DagsterRunStatus.CANCELED


def test_without_step_functions_the_times_are_those_of_the_manifests(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(notification("SUCCEEDED"))
    queue.tick()
    record = records(queue)["2024-02"]
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert (record.start_time, record.end_time) == (first.timestamp(), first.timestamp() + 3)


def test_a_failure_of_every_month_is_a_run_of_the_asset(aws: FakeAws, queue: Queue) -> None:
    aws.sqs.send({**notification("FAILED", error="no application"), "input": {}})
    assert queue.tick().startswith("recorded that mockrecord (every month), orders (every month) failed in 1 execution")
    assert {record.dagster_run.status for record in queue.instance.get_run_records()} == {dg.DagsterRunStatus.FAILURE}


def test_a_failure_that_arrives_after_the_month_was_ingested_fails_no_check(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.commit("2024-02", "n2", undated_rows=0)  # finished in 2026
    aws.step_functions.executions["n1"] = FakeExecution("FAILED", stopped=STOPPED)  # in 2024
    aws.sqs.send(notification("FAILED"))
    queue.tick()
    assert dagster.checks("2024-02") == dict.fromkeys(CHECKS, True)
    assert records(queue)["2024-02"].dagster_run.status == dg.DagsterRunStatus.FAILURE


def observations(queue: Queue) -> list[dg.AssetObservation]:
    """What the event log says of the table in PostgreSQL, the newest first."""
    records = queue.instance.fetch_observations(dg.AssetKey(["postgres", "public", "mockrecord"]), limit=10).records
    return [record.asset_observation for record in records if record.asset_observation]


def left_undated(aws: FakeAws, execution: str, rows: int) -> None:
    """The manifest of the rows without a month, which every execution rewrites."""
    document = replace(manifest("2024-02", execution), undated_rows=rows, table_rows=200).to_json()
    aws.s3.objects[layout.current_manifest_key("mockrecord", UNDATED)] = document.encode()


def test_a_recorded_run_observes_the_table_in_postgresql_once(aws: FakeAws, queue: Queue) -> None:
    for month in ("2024-01", "2024-02", "2024-05"):
        aws.s3.commit(month, "n1")
    left_undated(aws, "n1", 4)
    for _ in range(2):
        aws.sqs.send(notification("SUCCEEDED", months=("2024-01", "2024-02", "2024-05")))
        queue.tick()
    [found] = observations(queue)
    assert found.metadata["dagster/row_count"].value == 200
    check = dg.AssetCheckKey(found.asset_key, "no_rows_without_date")
    [result] = queue.instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
    assert isinstance(result.evaluation, dg.AssetCheckEvaluation)
    assert result.evaluation.passed
    assert result.evaluation.metadata["undated_rows"].value == 4


def test_an_execution_that_a_later_one_has_followed_does_not_observe_the_table(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("2024-01", "n1")
    left_undated(aws, "n2", 4)
    aws.sqs.send(notification("SUCCEEDED", months=("2024-01",)))
    queue.tick()
    assert observations(queue) == []


def test_an_execution_of_a_run_that_died_observes_the_table_in_that_run(aws: FakeAws, queue: Queue) -> None:
    run = create_run_for_test(queue.instance, status=dg.DagsterRunStatus.FAILURE)
    aws.s3.commit("2024-02", "n1")
    left_undated(aws, "n1", 4)
    aws.sqs.send(notification("SUCCEEDED", requested_by=run.run_id))
    queue.tick()
    assert len(observations(queue)) == 1
    [entry] = queue.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    assert entry.step_key == "raw_layer__mockrecord"
