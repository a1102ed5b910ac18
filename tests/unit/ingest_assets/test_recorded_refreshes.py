"""Refreshes that Dagster did not start: what the sensor records of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ingest_assets.checks.specs import CHECKS
from tests.unit.ingest_assets.fakes import FakeAws, notification
from tests.unit.ingest_assets.harness import Dagster, value
from tests.unit.ingest_assets.test_sensor import Queue, checks, failed, whole

ROWS = "rows 10 → 12"
CHANGED = {"2024-02": ROWS, "2024-05": "columns"}
UNCHANGED = ("2024-01", "2024-03", "undated")


@pytest.fixture
def queue(aws: FakeAws, dagster: Dagster) -> Queue:
    return Queue(aws, dagster.instance)


def ended(status: str = "SUCCEEDED", name: str = "n1", **request: Any) -> dict[str, Any]:
    """The message about a refresh, of every table unless said otherwise."""
    return {**notification(status, name), "input": {"refresh": True, **request}}


def runs(queue: Queue) -> dict[str, dg.DagsterRunStatus]:
    """The status of each run by its first month."""
    found = {}
    for run in queue.instance.get_runs():
        month = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start", "")
        found[month] = run.status
    return found


def test_the_changed_months_are_recorded_and_the_others_observed_once(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.found("n1", CHANGED, *UNCHANGED)
    for month in CHANGED:
        aws.s3.commit(month, "n1", rows=12, finished="2026-01-01T00:00:09+00:00")
    for told in (
        "recorded mockrecord 2024-02, 2024-05 from 1 execution; looked at mockrecord (2 of 4 months changed); "
        "acknowledged 1 message",
        "acknowledged 1 message",
    ):
        aws.sqs.send(ended())
        assert queue.tick() == told
    assert queue.recorded() == whole(*CHANGED)
    assert runs(queue) == dict.fromkeys(CHANGED, dg.DagsterRunStatus.SUCCESS)
    [observed] = dagster.observations()
    assert observed.description == "2 of 4 months changed"
    assert value(observed.metadata, "unchanged") == "2024-01, 2024-03"
    assert value(observed.metadata, "job_run_id") == "00fjob"
    [(passed, text)] = dagster.up_to_date()
    assert passed
    assert text.startswith("All 4 months are as in the source, as of 2026-01-01 00:00 UTC, ")


def test_a_refresh_that_found_nothing_is_an_observation_without_a_run(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.found("n1", {}, *UNCHANGED)
    aws.sqs.send(ended())
    assert queue.tick() == "looked at mockrecord (0 of 2 months changed); acknowledged 1 message"
    assert queue.instance.get_runs() == []
    assert [event.description for event in dagster.observations()] == ["0 of 2 months changed"]
    assert dagster.up_to_date()[0][0]


def test_a_table_that_was_skipped_is_an_observation_that_says_so(aws: FakeAws, dagster: Dagster, queue: Queue) -> None:
    aws.s3.found("n1", {}, skipped="is being written by execution backfill-1")
    aws.sqs.send(ended())
    told = "looked at mockrecord (skipped: is being written by execution backfill-1); acknowledged 1 message"
    assert queue.tick() == told
    assert [event.description for event in dagster.observations()] == [
        "skipped: is being written by execution backfill-1"
    ]
    assert dagster.up_to_date() == []


def test_a_failed_refresh_fails_the_changed_months_that_it_did_not_ingest_and_no_other(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.found("n1", CHANGED, *UNCHANGED)
    aws.s3.commit("2024-02", "n1", finished="2026-01-01T00:00:09+00:00")
    aws.sqs.send(ended("FAILED", table="mockrecord"))
    queue.tick()
    assert queue.recorded() == whole("2024-02") + failed("2024-05")
    assert runs(queue) == {"2024-02": dg.DagsterRunStatus.SUCCESS, "2024-05": dg.DagsterRunStatus.FAILURE}
    assert dagster.failed_months() == {"2024-05"}
    [(passed, text)] = dagster.up_to_date()
    assert not passed
    assert text.endswith(": 2024-05 (columns).")


def test_a_refresh_that_failed_before_it_had_counted_fails_the_check_of_the_asset(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.sqs.send(ended("FAILED", table="mockrecord", months=["2024-01", "2024-02"]))
    queue.tick()
    assert queue.recorded() == failed(None)
    assert dagster.failed_months() == set()


def test_the_next_refresh_passes_the_check_of_the_asset_again(aws: FakeAws, dagster: Dagster, queue: Queue) -> None:
    aws.sqs.send(ended("FAILED", table="mockrecord"))
    queue.tick()
    assert dagster.checks(None) == {"execution_succeeded": False}
    aws.s3.found("n2", {}, *UNCHANGED)
    for _ in range(2):
        aws.sqs.send(ended("SUCCEEDED", "n2", table="mockrecord"))
        queue.tick()
    assert dagster.checks(None) == {"execution_succeeded": True}
    assert queue.recorded() == failed(None) + Counter({("execution_succeeded", None, "n2"): 1})


def test_a_table_that_succeeded_in_a_refresh_that_failed_has_not_failed(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.found("n1", {"2024-02": ROWS}, *UNCHANGED)
    aws.s3.commit("2024-02", "n1")
    aws.sqs.send(ended("FAILED"))
    told = queue.tick()
    assert "recorded that orders (every month) failed" in told
    assert queue.recorded() == whole("2024-02")


def test_a_look_records_the_check_and_nothing_else(aws: FakeAws, dagster: Dagster, queue: Queue) -> None:
    aws.s3.commit("2024-02", "n0")
    aws.s3.found("n1", CHANGED, *UNCHANGED, dry_run=True)
    for told in ("looked at mockrecord (2 of 4 months changed); acknowledged 1 message", "acknowledged 1 message"):
        aws.sqs.send(ended(dry_run=True))
        assert queue.tick() == told
    assert (queue.recorded(), queue.instance.get_runs(), dagster.observations()) == ({}, [], [])
    [(passed, text)] = dagster.up_to_date()
    assert not passed
    assert text.startswith("2 of 4 months differ from the source, as of 2026-01-01 00:00 UTC, ")
    assert text.endswith(f": 2024-02 ({ROWS}), 2024-05 (columns).")


@pytest.mark.parametrize("counted", [True, False])
def test_a_look_that_failed_fails_no_month(aws: FakeAws, queue: Queue, counted: bool) -> None:
    if counted:
        aws.s3.found("n1", CHANGED, *UNCHANGED, dry_run=True)
    aws.sqs.send(ended("FAILED", dry_run=True))
    queue.tick()
    assert (queue.recorded(), queue.left, queue.instance.get_runs()) == ({}, 0, [])


def test_a_refresh_of_a_run_that_died_is_recorded_in_that_run(aws: FakeAws, dagster: Dagster, queue: Queue) -> None:
    run = create_run_for_test(queue.instance, status=dg.DagsterRunStatus.FAILURE)
    aws.s3.found("n1", CHANGED, *UNCHANGED)
    for month in CHANGED:
        aws.s3.commit(month, "n1")
    aws.sqs.send(ended(table="mockrecord", requested_by=run.run_id))
    queue.tick()
    assert queue.recorded() == whole(*CHANGED)
    assert len(queue.instance.get_runs()) == 1
    kinds = [
        entry.get_dagster_event().event_type
        for entry in queue.instance.all_logs(run.run_id)
        if entry.is_dagster_event and entry.get_dagster_event().asset_key is not None
    ]
    assert kinds.count(dg.DagsterEventType.ASSET_MATERIALIZATION) == 2
    assert dg.DagsterEventType.ASSET_OBSERVATION in kinds
    assert len(dagster.observations()) == len(dagster.up_to_date()) == 1


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_a_refresh_that_its_run_recorded_is_acknowledged(
    aws: FakeAws, dagster: Dagster, queue: Queue, status: str
) -> None:
    aws.s3.commit("2024-05", "n0")
    aws.step_functions.next.status = status
    committed = [*CHANGED] if status == "SUCCEEDED" else ["2024-02"]
    aws.step_functions.next.answers = [aws.finds(CHANGED, *UNCHANGED), aws.commits(*committed)]
    assert dagster.refresh().success == (status == "SUCCEEDED")
    before = queue.recorded(), dagster.up_to_date()
    name = aws.step_functions.started[0]["name"]
    aws.sqs.send(ended(status, name, table="mockrecord", requested_by=dagster.run_id))
    assert queue.tick() == "acknowledged 1 message"
    assert (queue.recorded(), dagster.up_to_date()) == before
    assert len(dagster.observations()) == 1


def test_a_refresh_that_was_terminated_before_it_had_counted_fails_nothing(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    run = create_run_for_test(queue.instance, status=dg.DagsterRunStatus.CANCELED)
    aws.sqs.send(ended("ABORTED", table="mockrecord", requested_by=run.run_id))
    assert queue.tick() == "acknowledged 1 message"
    assert queue.recorded() == {}


def test_an_execution_by_name_after_a_refresh_brings_the_check_up_to_date(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.commit("2024-02", "n0")
    aws.s3.found("n1", {"2024-02": ROWS}, *UNCHANGED, dry_run=True)
    aws.sqs.send(ended(dry_run=True))
    queue.tick()
    assert not dagster.up_to_date()[0][0]
    aws.s3.commit("2024-02", "n2", finished="2026-01-01T00:00:09+00:00")
    aws.sqs.send(notification("SUCCEEDED", "n2"))
    queue.tick()
    assert [passed for passed, _ in dagster.up_to_date()] == [True, False]
    assert queue.recorded() == whole("2024-02", execution="n2")


def test_a_failed_refresh_leaves_the_other_checks_of_its_months_as_they_are(
    aws: FakeAws, dagster: Dagster, queue: Queue
) -> None:
    aws.s3.commit("2024-05", "n0", undated_rows=0)
    aws.s3.found("n1", {"2024-05": "columns"})
    aws.sqs.send(ended("TIMED_OUT", table="mockrecord"))
    queue.tick()
    expected = checks("2024-05", execution="n0") - whole("2024-05", execution="n0")
    assert not expected
    assert dagster.checks("2024-05") == {**dict.fromkeys(CHECKS, True), "execution_succeeded": False}
