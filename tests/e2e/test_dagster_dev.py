"""What people do in Dagster's UI, by its GraphQL interface, while runs, workers and the daemon come and go."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from spark_scripts.contract import layout
from tests.e2e.conftest import ADJACENT, APART, FAILING, SENSOR, Launched
from tests.e2e.graphql import Backfill, Run, Webserver
from tests.e2e.services import Services
from tests.e2e.sources import mend, waits
from tests.e2e.waiting import until
from tests.gates import closed_gate

pytestmark = pytest.mark.timeout(600)  # some wait for one thing after the other, 240 s for each at most

GATED = ("2024-01", "2024-02")
PASSED = {
    "columns_unchanged": True,
    "columns_reviewed": True,
    "content_unchanged": True,
    "execution_succeeded": True,
    "ingested_in_time": True,
    "objects_match_manifest": True,
    "rows_match_source": True,
}


def recorded(dagster: Webserver, table: str, *months: str) -> list[tuple[str, str, str]]:
    """Month, run and execution of every materialisation of these months."""
    events = dagster.materializations(table, *months)
    return [(event.month, event.run_id, event.metadata["execution_name"]) for event in events]


def noticed(dagster: Webserver) -> bool:
    """Whether a tick of the sensor has recorded the execution that Dagster did not start."""
    return any(tick.startswith("recorded sales 2024-02 from 1 execution") for tick in dagster.ticks(SENSOR))


def shown(dagster: Webserver, table: str) -> dict[str, dict[str, int]]:
    """The numbers of the Partitions tab of each check of the table's months, without the months that are Missing."""
    tabs = {check: dagster.check_tab(table, check) for check in PASSED}
    return {check: {name: count for name, count in tab.items() if name != "Missing"} for check, tab in tabs.items()}


def each(numbers: dict[str, int]) -> dict[str, dict[str, int]]:
    """The same numbers for every check."""
    return dict.fromkeys(PASSED, numbers)


def passed_in_lineage(dagster: Webserver, table: str) -> set[str]:
    """The checks of the table's months that the lineage counts as passed."""
    icons = dagster.lineage(table)
    return {check for check in PASSED if icons[check] == "SUCCEEDED"}


def at_the_gate(services: Services, source: psycopg.Connection[Any]) -> Run:
    """A new run of `gated`, once its Spark job reads the table."""
    dagster = services.webserver
    run_id = dagster.materialize("gated", *GATED)
    until(lambda: waits(source, dagster.run(run_id).execution), 240, lambda: dagster.log(run_id))
    return dagster.run(run_id)


def process(dagster: Webserver, run: Run, message: str) -> psutil.Process:
    """The process that logged this with its id."""
    [pid] = re.findall(rf"{message} \(pid: (\d+)\)", "\n".join(dagster.log(run.id)))
    return psutil.Process(int(pid))


def kill_the_daemon(services: Services) -> None:
    """Kill it, and wait for the next one."""
    [daemon] = services.processes("dagster._daemon")
    daemon.kill()
    until(lambda: services.processes("dagster._daemon") not in ([], [daemon]) and services.webserver.loaded(), 300)


@pytest.fixture(scope="module")
def resumed(services: Services, source: psycopg.Connection[Any], launched: Launched) -> tuple[Run, Run]:
    """A run whose worker was killed while Spark read, and the run that Dagster started then; both have ended.

    The daemon was killed before, and all of `dagster dev` but the worker ended and was started again, while
    other runs went on.
    """
    dagster = services.webserver
    with closed_gate(source):
        killed = at_the_gate(services, source)
        spark = services.processes(killed.execution)
        assert spark
        step = process(dagster, killed, "Capturing logs for process")
        until(lambda: noticed(dagster))  # a tick that dies tells nothing of what it has recorded
        kill_the_daemon(services)
        assert dagster.run(killed.id).status == "STARTED"
        process(dagster, killed, "parent process").kill()
        [retry] = until(lambda: dagster.runs(parent_run_id=killed.id))
        until(
            lambda: f"Re-attached to execution {killed.execution}, which is RUNNING" in "".join(dagster.log(retry.id))
        )
        assert services.processes(killed.execution) == spark
    retried = dagster.ended(retry.id)
    until(lambda: not step.is_running())  # it outlives its worker
    return dagster.run(killed.id), retried


def test_when_daemon_and_worker_are_killed_the_run_is_retried_with_the_same_execution_and_its_months_are_recorded_once(
    services: Services, resumed: tuple[Run, Run]
) -> None:
    killed, retry = resumed
    assert (killed.status, retry.status) == ("FAILURE", "SUCCESS")
    assert retry.tags["dagster/retry_number"] == "1"
    [job_run] = services.job_runs("gated-")
    assert (job_run.execution, job_run.state) == (killed.execution, "SUCCESS")
    expected = [(month, retry.id, killed.execution) for month in GATED]
    assert recorded(services.webserver, "gated", *GATED) == expected


def test_an_execution_that_dagster_did_not_start_shows_in_the_history(dagster: Webserver, launched: Launched) -> None:
    until(lambda: noticed(dagster))
    [event] = dagster.materializations("sales", "2024-02")
    assert event.metadata["execution_name"] == launched.by_hand
    assert event.metadata["dagster/partition_row_count"] > 0
    assert dagster.run(event.run_id).execution == launched.by_hand
    assert dagster.months("sales") == {"2024-02": "MATERIALIZED"}
    assert dagster.checks("sales", "2024-02") == PASSED
    assert shown(dagster, "sales") == each({"Passed": 1})
    assert passed_in_lineage(dagster, "sales") == {*PASSED}


def test_the_summary_of_a_month_starts_by_itself_after_an_execution_that_dagster_did_not_start(
    dagster: Webserver, launched: Launched
) -> None:
    until(lambda: dagster.months("sales", "summary") == {"2024-02": "MATERIALIZED"}, 300)
    [run] = dagster.runs(from_automation_condition="true", partition="2024-02")
    assert dagster.ended(run.id).status == "SUCCESS"
    assert dagster.stale("sales", "2024-02") == ("FRESH", [])
    assert dagster.stale("sales", "2024-02", "summary") == ("FRESH", [])


def test_an_execution_that_dagster_did_not_start_is_a_run_with_asset_month_start_and_end(
    services: Services, dagster: Webserver, launched: Launched
) -> None:
    until(lambda: noticed(dagster))
    [event] = dagster.materializations("sales", "2024-02")
    run = dagster.details(event.run_id)
    started, stopped = services.times(launched.by_hand)
    assert run["assetSelection"] == [{"path": ["raw_layer", "sales"]}]
    assert (run["startTime"], run["endTime"]) == (
        pytest.approx(started.timestamp(), abs=0.01),
        pytest.approx(stopped.timestamp(), abs=0.01),
    )
    assert [step["key"] for step in run["executionPlan"]["steps"]] == ["raw_layer__sales"]
    assert dagster.run(event.run_id).months == ("2024-02", "2024-02")


def test_the_months_before_the_failed_one_stay_materialised(services: Services, failed: Backfill) -> None:
    assert (failed.status, failed.materialized, failed.failed) == ("COMPLETED_FAILED", 2, 3)
    [run] = failed.runs
    assert services.status(run.execution) == "FAILED"
    assert services.webserver.months("prices") == {
        **dict.fromkeys(FAILING[:2], "MATERIALIZED"),
        **dict.fromkeys(FAILING[2:], "FAILED"),
    }
    for month in FAILING[:2]:
        assert services.webserver.checks("prices", month) == PASSED
    for month in FAILING[2:]:
        assert services.webserver.checks("prices", month) == {**PASSED, "execution_succeeded": False}


def test_a_failure_shows_in_the_check_of_the_execution_and_in_no_other(services: Services, failed: Backfill) -> None:
    dagster = services.webserver
    others = each({"Passed": 5})
    assert shown(dagster, "prices") == {**others, "execution_succeeded": {"Passed": 2, "Failed": 3}}
    assert dagster.lineage("prices")["execution_succeeded"] == "ERROR"
    assert passed_in_lineage(dagster, "prices") == {*PASSED} - {"execution_succeeded"}
    [run] = failed.runs
    log = "\n".join(dagster.log(run.id))
    assert "The Spark job failed (States.TaskFailed)" in log
    assert "NativeCodeLoader" not in log


@pytest.fixture(scope="module")
def reexecuted(dagster: Webserver, source: psycopg.Connection[Any], launched: Launched, failed: Backfill) -> str:
    """The backfill that repeats, from the failure, one whose source has been mended since."""
    mend(source)
    return dagster.reexecute_from_failure(launched.failing)


def published(bucket: Path, table: str) -> dict[str, bytes]:
    """The files of the table's months, and the manifests that list them."""
    folders = (bucket / layout.RAW_LAYER / table, bucket / layout.current_manifests_prefix(table))
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("reexecuted")  # goes on meanwhile
def test_a_terminated_run_leaves_nothing_running_after_15_seconds_and_the_months_as_they_were(
    services: Services, source: psycopg.Connection[Any], resumed: tuple[Run, Run]
) -> None:
    dagster = services.webserver
    before, checks = published(services.bucket, "gated"), shown(dagster, "gated")
    assert len(before) >= 2 * len(GATED)
    with closed_gate(source):
        run = at_the_gate(services, source)
        assert services.processes(run.execution)
        asked = time.monotonic()
        dagster.terminate(run.id)
        until(lambda: dagster.run(run.id).finished, 15, lambda: dagster.log(run.id))
        assert services.processes(run.execution) == []
        print(f"\nterminated in {time.monotonic() - asked:.1f} s")
    [job_run] = services.job_runs(run.execution)
    assert (dagster.run(run.id).status, services.status(run.execution)) == ("CANCELED", "ABORTED")
    assert (job_run.state, job_run.application_state) == ("CANCELLED", "TERMINATED")
    assert published(services.bucket, "gated") == before
    assert checks == shown(dagster, "gated") == each({"Passed": 2})
    assert passed_in_lineage(dagster, "gated") == {*PASSED}


def test_a_backfill_of_adjacent_months_is_one_run_one_execution_and_one_spark_job(
    services: Services, orders: Backfill
) -> None:
    assert (orders.status, orders.materialized) == ("COMPLETED_SUCCESS", 4)
    run, _ = orders.runs
    assert run.months == (ADJACENT[0], ADJACENT[-1])
    [job_run] = [each for each in services.job_runs("orders-") if run.id[:8] in each.execution]
    assert (job_run.execution, job_run.state) == (run.execution, "SUCCESS")
    assert recorded(services.webserver, "orders", *ADJACENT) == [(month, run.id, run.execution) for month in ADJACENT]


def test_months_that_are_not_adjacent_are_another_run_which_waits_for_the_first(
    services: Services, orders: Backfill
) -> None:
    first, second = sorted(orders.runs, key=lambda run: services.times(run.execution))
    assert {first.months, second.months} == {(ADJACENT[0], ADJACENT[-1]), (APART, APART)}
    assert services.times(first.execution)[1] <= services.times(second.execution)[0]


def test_each_month_of_a_backfill_has_its_numbers_and_its_checks(
    services: Services, source: psycopg.Connection[Any], orders: Backfill
) -> None:
    counted = source.execute(
        "SELECT to_char(placed_at AT TIME ZONE 'America/Chicago', 'YYYY-MM') AS month, count(*)"
        """ FROM sales."Orders" WHERE isfinite(placed_at) GROUP BY 1"""
    ).fetchall()
    events = services.webserver.materializations("orders", *ADJACENT)
    rows = {event.month: event.metadata["dagster/partition_row_count"] for event in events}
    assert rows == {month: count for month, count in counted if month in ADJACENT}
    assert all(event.metadata["seconds"] > 0 for event in events)
    used = services.usage(orders.runs[0].execution)
    assert sum(event.metadata["vcpu_hours"] for event in events) == pytest.approx(used["vCPUHour"])
    assert sum(event.metadata["gb_hours"] for event in events) == pytest.approx(used["memoryGBHour"])
    assert all(event.metadata["usd"] > 0 for event in events)
    for month in ADJACENT:
        assert services.webserver.checks("orders", month) == PASSED


def test_the_partitions_tab_of_a_check_and_the_lineage_count_the_months_of_a_backfill(
    dagster: Webserver, orders: Backfill
) -> None:
    assert shown(dagster, "orders") == each({"Passed": 4})
    assert passed_in_lineage(dagster, "orders") == {*PASSED}
    assert not [line for run in orders.runs for line in dagster.log(run.id) if "did not yield" in line]


def test_the_checks_that_are_made_again_without_ingesting_count_in_the_same_way(
    services: Services, orders: Backfill
) -> None:
    dagster = services.webserver
    before = shown(dagster, "orders")
    [stray] = [file for file in published(services.bucket, "orders") if "year=2024/month=5" in file][:1]
    Path(stray).with_name("stray.csv").write_text("x", encoding="utf-8")
    try:
        assert dagster.ended(dagster.execute_checks("orders", *PASSED)).status == "SUCCESS"
        assert shown(dagster, "orders") == {**before, "objects_match_manifest": {"Passed": 3, "Failed": 1}}
        assert dagster.lineage("orders")["objects_match_manifest"] == "ERROR"
    finally:
        Path(stray).with_name("stray.csv").unlink()
    assert dagster.ended(dagster.execute_checks("orders", *PASSED)).status == "SUCCESS"
    assert shown(dagster, "orders") == before


def test_reexecuting_a_backfill_from_failure_does_the_months_that_failed(
    dagster: Webserver, failed: Backfill, reexecuted: str
) -> None:
    again = dagster.completed(reexecuted)
    assert (again.status, again.materialized) == ("COMPLETED_SUCCESS", 3)
    [before], [after] = failed.runs, again.runs
    assert after.months == (FAILING[2], FAILING[-1])
    assert dagster.months("prices") == dict.fromkeys(FAILING, "MATERIALIZED")
    by_run = {month: before if month in FAILING[:2] else after for month in FAILING}
    assert recorded(dagster, "prices", *FAILING) == [(month, run.id, run.execution) for month, run in by_run.items()]
    assert shown(dagster, "prices") == each({"Passed": 5})
    assert passed_in_lineage(dagster, "prices") == {*PASSED}


def test_a_terminated_run_makes_no_second_run_and_no_failed_check(services: Services) -> None:
    dagster = services.webserver
    [run] = [run for run in dagster.runs() if run.status == "CANCELED"]
    sent = time.time()
    services.tell_status(run.execution)  # again, for it may have been acknowledged while other tests ran
    until(lambda: any("acknowledged" in tick for tick in dagster.ticks(SENSOR, since=sent)))
    assert [one.id for one in dagster.runs() if one.execution == run.execution] == [run.id]
    assert shown(dagster, "gated") == each({"Passed": 2})
