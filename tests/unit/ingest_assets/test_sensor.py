from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster_aws.s3 import S3Resource

from ingest_assets._compat import RunTerminatedError
from ingest_assets.checks.specs import CHECKS
from ingest_assets.definitions import build_definitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.queue import Notifications
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.sensors.execution_queue import queue_sensor
from ingest_assets.tables import load_tables
from spark_scripts.contract.months import Month
from tests.unit.ingest_assets.fakes import FakeAws, notification, status_change
from tests.unit.ingest_assets.harness import KEY, Dagster

Recorded = Counter[tuple[str, str | None, str]]


class Queue:
    """The sensor on the fake queue."""

    def __init__(self, aws: FakeAws, instance: dg.DagsterInstance) -> None:
        self.sqs = aws.sqs
        self.instance = instance
        self.repository = build_definitions().get_repository_def()

    def tick(self) -> str:
        """A tick, or its preview in the UI, which is the same; its reason."""
        account = AwsAccount()
        raw_layer = RawLayerResource(account=account, s3=S3Resource())
        resources = {"raw_layer": raw_layer, "notifications": Notifications(account=account)}
        try:
            with dg.build_sensor_context(
                instance=self.instance, resources=resources, repository_def=self.repository
            ) as context:
                result = queue_sensor(tables=load_tables())(context)
        finally:
            self.sqs.come_back()
        assert isinstance(result, dg.SensorResult)
        assert result.skip_reason
        return result.skip_reason.skip_message or ""

    @property
    def left(self) -> int:
        """The messages in the queue."""
        return len(self.sqs.visible)

    def recorded(self) -> Recorded:
        """How often each (kind, month, execution) is in the event log; a failed check is `!` and its name."""
        found: Recorded = Counter()
        for record in self.instance.fetch_materializations(KEY, limit=10_000).records:
            if event := record.asset_materialization:
                found["materialization", event.partition, str(event.metadata["execution_name"].value)] += 1
        for check in CHECKS:
            history = self.instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(KEY, check), limit=10_000
            )
            for each in history:
                done = each.evaluation
                if isinstance(done, dg.AssetCheckEvaluation) and "execution_name" in done.metadata:
                    name = check if done.passed else f"!{check}"
                    found[name, done.partition, str(done.metadata["execution_name"].value)] += 1
        return found


@pytest.fixture
def queue(aws: FakeAws, dagster: Dagster) -> Queue:
    return Queue(aws, dagster.instance)


def whole(*months: str, execution: str = "n1") -> Recorded:
    return Counter((kind, month, execution) for month in months for kind in ("materialization", *CHECKS))


def failed(*months: str | None, execution: str = "n1") -> Recorded:
    return Counter(("!execution_succeeded", month, execution) for month in months)


def test_a_foreign_execution_is_recorded_month_by_month_and_then_acknowledged(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("2024-01", "n1", rows=5)
    aws.s3.commit("2024-02", "n1", rows=7)
    aws.sqs.send(notification("SUCCEEDED", months=("2024-01", "2024-02")))
    assert queue.tick() == "recorded mockrecord 2024-01 to 2024-02 from 1 execution; acknowledged 1 message"
    assert (queue.recorded(), queue.left) == (whole("2024-01", "2024-02"), 0)
    assert queue.tick() == "the queue is empty"


def test_a_recorded_month_names_its_execution_in_a_tag_and_has_the_manifest_s_numbers(
    aws: FakeAws, queue: Queue
) -> None:
    aws.s3.commit("2024-02", "n1", rows=7)
    aws.sqs.send(notification("SUCCEEDED"))
    queue.tick()
    [record] = queue.instance.fetch_materializations(KEY, limit=10).records
    event = record.asset_materialization
    assert event
    assert (event.tags or {})["ingest/execution"] == "n1"
    assert event.metadata["dagster/partition_row_count"].value == 7
    assert event.metadata["job_run_id"].value == "00fjob"


def test_messages_that_come_twice_in_any_order_and_form_are_recorded_once(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("2024-02", "n1")
    aws.s3.commit("2024-02", "n2")
    for name in ("n2", "n1", "n2"):
        message = notification("SUCCEEDED", name)
        aws.sqs.send(message, {"TopicArn": "arn", "Message": json.dumps(message)}, status_change("SUCCEEDED", name))
    assert queue.tick() == "recorded mockrecord 2024-02 from 2 executions; acknowledged 9 messages"
    aws.sqs.send(notification("SUCCEEDED", "n1"))
    assert queue.tick() == "acknowledged 1 message"
    assert queue.recorded() == whole("2024-02") + whole("2024-02", execution="n2")


EVENTS = 1 + len(CHECKS)
"""The events of a month: its materialisation and its checks."""

BEFORE = EVENTS + 2
"""The events before a month's: those that are planned, the start of the run and of its step."""


@pytest.mark.parametrize("stored", range(BEFORE + EVENTS + 3))
def test_a_tick_that_dies_while_it_records_neither_doubles_nor_loses(
    aws: FakeAws, queue: Queue, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(notification("SUCCEEDED"))
    with monkeypatch.context() as patch:
        patch.setattr(queue.instance, "report_dagster_event", dying(queue.instance.report_dagster_event, stored))
        patch.setattr(aws.sqs, "delete_message_batch", dying(aws.sqs.delete_message_batch, 0))
        with pytest.raises(DeadDaemonError):
            queue.tick()
    assert (queue.recorded().total(), queue.left) == (min(max(stored - BEFORE, 0), EVENTS), 1)
    queue.tick()
    assert (queue.recorded(), queue.left) == (whole("2024-02"), 0)
    assert [run.status for run in queue.instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS]


class DeadDaemonError(Exception):
    """Ends a tick in the middle."""


def dying(call: Callable[..., Any], after: int) -> Callable[..., Any]:
    """`call`, which can be made that often."""
    left = iter(range(after))

    def limited(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise DeadDaemonError
        return call(*arguments, **named)

    return limited


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_failure_is_a_failed_check_of_each_month_that_is_missing(aws: FakeAws, queue: Queue, status: str) -> None:
    aws.s3.commit("2024-01", "n1")
    aws.sqs.send(notification(status, months=("2024-01", "2024-02"), error="States.TaskFailed", cause="no column"))
    queue.tick()
    assert (queue.recorded(), queue.left) == (whole("2024-01") + failed("2024-02"), 0)
    check = dg.AssetCheckKey(KEY, "execution_succeeded")
    [record, _] = queue.instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
    done = record.evaluation
    assert isinstance(done, dg.AssetCheckEvaluation)
    assert done.description == f"2024-02: Execution n1 is {status}: States.TaskFailed: no column"
    assert str(done.metadata["execution"].value).endswith(":n1")


def test_a_failure_of_every_month_is_a_failed_check_of_the_asset(aws: FakeAws, queue: Queue) -> None:
    aws.sqs.send({**notification("FAILED", error="no application"), "input": {}})
    queue.tick()
    assert (queue.recorded(), queue.left) == (failed(None), 0)


def test_a_failure_of_what_nobody_has_is_acknowledged(aws: FakeAws, queue: Queue) -> None:
    aws.sqs.send({**notification("FAILED"), "input": {"table": "gone", "months": ["2024-01"]}})
    assert queue.tick() == "acknowledged 1 message"
    assert queue.recorded() == Counter()


def test_the_tick_names_months_and_tables_that_dagster_does_not_have(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("1999-12", "n1")
    aws.s3.commit("2024-02", "n1", table="gone")
    aws.sqs.send({**notification("SUCCEEDED"), "input": {}})
    assert queue.tick() == "acknowledged 1 message; not in tables.yaml: gone 2024-02, mockrecord 1999-12"


def test_an_execution_is_left_to_its_run_while_that_runs(aws: FakeAws, queue: Queue) -> None:
    run = create_run_for_test(queue.instance, status=dg.DagsterRunStatus.STARTED)
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(notification("SUCCEEDED", requested_by=run.run_id))
    for _ in range(4):
        assert queue.tick() == "left 1 message for the runs that started their executions"
    assert (queue.recorded(), queue.left) == (Counter(), 1)
    assert aws.sqs.postponed == {"m0": 60 * 27}  # after 1, 3 and 9 minutes


def test_an_execution_that_its_run_recorded_is_acknowledged(aws: FakeAws, dagster: Dagster, queue: Queue) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    name = aws.step_functions.started[0]["name"]
    aws.sqs.send(notification("SUCCEEDED", name, requested_by=dagster.run_id))
    assert queue.tick() == "acknowledged 1 message"
    assert queue.recorded() == whole("2024-02", execution=name)


def test_a_failure_that_its_run_recorded_is_acknowledged(aws: FakeAws, dagster: Dagster, queue: Queue) -> None:
    aws.step_functions.next.answers, aws.step_functions.next.status = [aws.commits("2024-01")], "FAILED"
    assert not dagster.materialize("2024-01", "2024-02").success
    name = aws.step_functions.started[0]["name"]
    aws.sqs.send(notification("FAILED", name, ("2024-01", "2024-02"), requested_by=dagster.run_id))
    assert queue.tick() == "acknowledged 1 message"
    assert queue.recorded() == whole("2024-01", execution=name) + failed("2024-02", execution=name)


def test_an_execution_of_a_run_that_died_is_recorded(aws: FakeAws, queue: Queue) -> None:
    run = create_run_for_test(queue.instance, status=dg.DagsterRunStatus.FAILURE)
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(notification("SUCCEEDED", requested_by=run.run_id))
    queue.tick()
    assert queue.recorded() == whole("2024-02")


def test_an_execution_of_a_run_that_will_be_retried_is_left_to_the_retry(aws: FakeAws, queue: Queue) -> None:
    instance = queue.instance
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.FAILURE, tags={"dagster/will_retry": "true"})
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(notification("SUCCEEDED", requested_by=run.run_id))
    assert "left 1 message" in queue.tick()
    retry = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
    instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": retry.run_id})
    assert "left 1 message" in queue.tick()
    instance.report_run_failed(retry)
    assert queue.tick() == "recorded mockrecord 2024-02 from 1 execution; acknowledged 1 message"


def test_a_run_that_was_terminated_has_no_failed_check_and_no_second_run(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.commit("2024-02", "n0")

    def terminate() -> None:
        raise RunTerminatedError

    aws.step_functions.next.answers = [aws.commits("2024-01"), terminate]
    assert not dagster.materialize("2024-01", "2024-03").success
    canceled(dagster)
    for month in ("2024-01", "2024-02", "2024-03"):
        assert dagster.checks(month) == dict.fromkeys(CHECKS, True)
    name = aws.step_functions.started[0]["name"]
    before = queue.recorded()
    assert before == whole("2024-01", execution=name) + checks("2024-02", execution="n0")
    aws.sqs.send(notification("ABORTED", name, ("2024-01", "2024-02", "2024-03"), requested_by=dagster.run_id))
    assert queue.tick() == "acknowledged 1 message"
    assert queue.recorded() == before
    assert len(queue.instance.get_runs()) == 1


def test_what_a_run_did_not_log_before_it_was_terminated_is_logged_in_it(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    run = create_run_for_test(queue.instance, status=dg.DagsterRunStatus.CANCELED)
    aws.s3.commit("2024-01", "n1")
    aws.sqs.send(notification("ABORTED", months=("2024-01", "2024-02"), requested_by=run.run_id))
    assert queue.tick() == "recorded mockrecord 2024-01 from 1 execution; acknowledged 1 message"
    assert queue.recorded() == whole("2024-01")
    assert dagster.checks("2024-02") == dict.fromkeys(CHECKS, True)
    [record] = queue.instance.fetch_materializations(KEY, limit=10).records
    assert record.run_id == run.run_id
    assert len(queue.instance.get_runs()) == 1


def canceled(dagster: Dagster) -> None:
    """What Dagster does at the end of a run whose termination was asked for; in this process it fails."""
    run = dagster.instance.get_run_by_id(dagster.run_id)
    assert run
    dagster.instance.report_run_canceled(run)


def checks(*months: str, execution: str) -> Recorded:
    return Counter((check, month, execution) for month in months for check in CHECKS)


def test_alerts_of_dagster_and_executions_that_run_on_are_acknowledged(aws: FakeAws, queue: Queue) -> None:
    alert: dict[str, Any] = {**notification("FAILED"), "execution_arn": None, "source": "dagster"}
    aws.sqs.send(alert, status_change("RUNNING"))
    assert queue.tick() == "acknowledged 2 messages"
    assert queue.recorded() == Counter()


def test_poison_is_named_and_left_to_the_dead_letter_queue(aws: FakeAws, queue: Queue) -> None:
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send("poison", notification("SUCCEEDED"))
    told = "recorded mockrecord 2024-02 from 1 execution; acknowledged 1 message; left for the dead-letter queue: "
    assert queue.tick() == f"{told}m0 is not JSON"
    assert (queue.recorded(), queue.left) == (whole("2024-02"), 1)


def test_a_tick_is_bounded_and_the_next_ones_do_the_rest(
    aws: FakeAws, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        aws.s3.commit("2024-02", f"n{number}")
        aws.sqs.send(notification("SUCCEEDED", f"n{number}"))
    with monkeypatch.context() as patch:
        patch.setattr("ingest_assets.sensors.execution_queue._RECORD_SECONDS", 0.0)
        assert queue.tick() == "left 3 executions for the next ticks"
    assert queue.tick() == "recorded mockrecord 2024-02 from 3 executions; acknowledged 3 messages"
    assert queue.left == 0


EVALUATION_SECONDS = 60
"""Dagster ends a tick's evaluation after that (DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS)."""


def test_ten_thousand_messages_doubled_and_in_disorder_are_drained_by_ticks_that_dagster_does_not_end(
    aws: FakeAws, tmp_path: Path
) -> None:
    months = {f"n{number}": str(Month(2023, 1).plus(number % 24)) for number in range(20)}
    for name, month in months.items():
        aws.s3.commit(month, name)
    bodies = [form for name, month in months.items() for form in forms(name, month)]
    bodies = [bodies[number % len(bodies)] for number in range(10_000)]
    random.Random(4).shuffle(bodies)  # noqa: S311
    aws.sqs.send(*bodies)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        queue = Queue(aws, instance)
        seconds = []
        while queue.left:
            started = time.monotonic()
            told = queue.tick()
            seconds.append(time.monotonic() - started)
            print(f"tick {len(seconds)}: {seconds[-1]:.1f} s: {told}; {queue.left} messages are left")
            assert len(seconds) <= 10
        assert max(seconds) < EVALUATION_SECONDS
        kinds = ("materialization", *CHECKS)
        assert queue.recorded() == Counter((kind, month, name) for name, month in months.items() for kind in kinds)


def forms(name: str, month: str) -> list[str]:
    """A message in each form that it comes in."""
    direct = notification("SUCCEEDED", name, (month,))
    envelope = {"TopicArn": "arn:aws:sns:x:1:success", "Message": json.dumps(direct)}
    return [json.dumps(form) for form in (direct, envelope, status_change("SUCCEEDED", name, (month,)))]
