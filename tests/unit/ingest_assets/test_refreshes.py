"""Runs that ingest only what has changed: what Dagster then shows of each month, and of the table."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ingest_assets._compat import RunTerminatedError
from ingest_assets.checks.specs import CHECKS
from ingest_assets.partitions import monthly_partitions
from ingest_assets.workflow.reattach import execution_name
from spark_scripts.contract import layout
from spark_scripts.contract.months import UNDATED
from tests.unit.ingest_assets.fakes import FakeAws, FakeExecution, manifest, nothing
from tests.unit.ingest_assets.harness import KEY, TABLE, Dagster, value

MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04")
ROWS = "rows 10 → 12"
NEWER = "newer rows among 10 rows"
CHANGED = {"2024-02": ROWS, "2024-04": NEWER}


@pytest.fixture
def ingested(aws: FakeAws, dagster: Dagster) -> Dagster:
    """Four months that Dagster has materialised."""
    aws.step_functions.next.answers = [aws.commits(*MONTHS)]
    assert dagster.materialize(MONTHS[0], MONTHS[-1]).success
    aws.step_functions.next = FakeExecution()
    return dagster


def logged(dagster: Dagster, kind: dg.DagsterEventType) -> list[str | None]:
    """The partitions of the events of this kind of the raw layer in the last run."""
    events = [entry.get_dagster_event() for entry in dagster.instance.all_logs(dagster.run_id, of_type=kind)]
    return [event.partition for event in events if event.asset_key == KEY]


def checked(dagster: Dagster) -> set[str | None]:
    """The months with results of the checks of months in the last run."""
    entries = dagster.instance.all_logs(dagster.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.get_dagster_event().asset_check_evaluation_data for entry in entries]
    return {done.partition for done in found if done.check_name in CHECKS}


def test_a_refresh_materialises_the_changed_months_and_observes_the_asset_once(aws: FakeAws, ingested: Dagster) -> None:
    unchanged = [month for month in MONTHS if month not in CHANGED]
    aws.step_functions.next.answers = [aws.finds(CHANGED, *unchanged, "undated"), aws.commits(*CHANGED, rows=12)]
    assert ingested.refresh().success
    started = aws.step_functions.started[-1]
    assert started["input"] == {"refresh": True, "table": "mockrecord", "requested_by": ingested.run_id}
    assert started["name"].startswith("mockrecord-refresh-")
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == [*CHANGED]
    assert checked(ingested) == {*CHANGED}
    assert value(ingested.months()["2024-02"], "dagster/partition_row_count") == 12
    [observed] = ingested.observations()
    assert (observed.partition, observed.description) == (None, "2 of 4 months changed")
    assert {key: value(observed.metadata, key) for key in ("months_changed", "months_unchanged", "unchanged")} == {
        "months_changed": 2,
        "months_unchanged": 2,
        "unchanged": "2024-01, 2024-03",
    }
    table = observed.metadata["changed"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data for record in table.records] == [
        {"month": "2024-02", "reason": ROWS},
        {"month": "2024-04", "reason": NEWER},
    ]
    assert value(observed.metadata, "execution_name") == started["name"]
    assert str(value(observed.metadata, "execution")).endswith(started["name"])


def test_the_log_of_a_refresh_says_what_has_changed_and_why_and_estimates_nothing(
    aws: FakeAws, ingested: Dagster
) -> None:
    changed = {"2024-01": "columns", "2024-02": "columns", "2024-04": ROWS, "undated": "columns"}
    aws.step_functions.next.answers = [aws.finds(changed, "2024-03"), aws.commits("2024-01", "2024-02", "2024-04")]
    assert ingested.refresh().success
    log = ingested.log()
    assert "Looking at every month of mockrecord, to ingest those that have changed" in log
    assert (
        "mockrecord: 3 of 4 months changed, and the rows without a month\n"
        "2024-01 to 2024-02, the rows without a month: columns\n"
        f"2024-04: {ROWS}"
    ) in log
    assert [line[:8] for line in log if line.startswith("2024-0") and "bytes" in line] == [
        "2024-01:",
        "2024-02:",
        "2024-04:",
    ]
    assert not [line for line in log if "estimate" in line or "did not yield" in line]


def test_a_refresh_that_finds_nothing_is_green_with_one_observation_and_no_other_event(
    aws: FakeAws, ingested: Dagster
) -> None:
    aws.step_functions.next.answers = [aws.finds({}, *MONTHS, "undated")]
    assert ingested.refresh().success
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == []
    assert checked(ingested) == set()
    [observed] = ingested.observations()
    assert observed.description == "0 of 4 months changed"
    assert "changed" not in observed.metadata
    assert ingested.failed_months() == set()


def test_only_the_rows_without_a_month_may_have_changed(aws: FakeAws, ingested: Dagster) -> None:
    def commits() -> None:
        name = aws.step_functions.started[-1]["name"]
        document = manifest("2024-01", name).to_json().replace('"month": "2024-01"', '"month": "undated"')
        aws.s3.objects[layout.current_manifest_key("mockrecord", UNDATED)] = document.encode()

    aws.step_functions.next.answers = [aws.finds({"undated": ROWS}, *MONTHS), commits]
    assert ingested.refresh().success
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == []
    assert ingested.observations()[0].description == "0 of 4 months changed, and the rows without a month"
    source = dg.AssetKey(["postgres", "public", "mockrecord"])
    [_, by_refresh] = reversed(ingested.instance.fetch_observations(source, limit=10).records)
    assert by_refresh.run_id == ingested.run_id


def test_a_table_that_another_execution_writes_is_skipped_by_a_green_run_that_says_so(
    aws: FakeAws, ingested: Dagster
) -> None:
    reason = "mockrecord is being written by execution backfill-1"
    aws.step_functions.next.answers = [aws.finds({}, skipped=reason)]
    assert ingested.refresh().success
    [observed] = ingested.observations()
    assert observed.description == f"skipped: {reason}"
    assert value(observed.metadata, "skipped") == reason
    assert f"mockrecord: skipped: {reason}" in ingested.log()
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == []


def test_a_refresh_of_chosen_months_names_them_and_one_of_all_names_none(aws: FakeAws, ingested: Dagster) -> None:
    every = monthly_partitions(TABLE).get_partition_keys()
    for first, last in (("2024-02", "2024-03"), (every[0], every[-1])):
        aws.step_functions.next = FakeExecution(answers=[aws.finds({}, first, last)])
        assert ingested.refresh(first, last).success
    some, whole = (started["input"] for started in aws.step_functions.started[-2:])
    assert some["months"] == ["2024-02", "2024-03"]
    assert "months" not in whole
    assert "Looking at every month" in "\n".join(ingested.log())


def test_materialising_with_refresh_in_the_launchpad_gives_every_planned_check_a_result(
    aws: FakeAws, ingested: Dagster
) -> None:
    aws.step_functions.next.answers = [aws.finds({"2024-02": ROWS}, "2024-01", "2024-03"), aws.commits("2024-02")]
    assert ingested.materialize_changed("2024-01", "2024-03").success
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == ["2024-02"]
    assert checked(ingested) == {"2024-01", "2024-02", "2024-03"}
    assert planned(ingested) == []
    assert ingested.failed_months() == set()


def planned(dagster: Dagster) -> list[tuple[str, str | None]]:
    """The results that runs have planned and not logged, which the pages show as skipped."""
    storage = dagster.instance.event_log_storage
    keys = [dg.AssetCheckKey(KEY, name) for name in (*CHECKS, "up_to_date")]
    records = [(key.name, each) for key in keys for each in storage.get_asset_check_execution_history(key, limit=1000)]
    return [(name, each.partition) for name, each in records if each.status.value == "PLANNED"]


def test_a_materialisation_by_hand_ingests_what_has_not_changed_either(aws: FakeAws, ingested: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01")]
    assert ingested.materialize("2024-01").success
    assert "refresh" not in aws.step_functions.started[-1]["input"]
    assert ingested.observations() == []
    assert planned(ingested) == []


def fail(execution: FakeExecution) -> None:
    execution.status, execution.cause = "FAILED", "no disk"


def test_a_failed_refresh_fails_the_months_that_it_should_have_ingested_and_no_other(
    aws: FakeAws, ingested: Dagster
) -> None:
    aws.step_functions.next.answers = [aws.finds(CHANGED, "2024-01", "2024-03"), aws.commits("2024-02")]
    fail(aws.step_functions.next)
    assert not ingested.refresh().success
    assert "Committed before the failure: 2024-02 of 2 months" in ingested.failure_text()
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == ["2024-02"]
    assert checked(ingested) == {*CHANGED}
    assert ingested.checks("2024-04") == {**dict.fromkeys(CHECKS, True), "execution_succeeded": False}
    for month in ("2024-01", "2024-02", "2024-03"):
        assert ingested.checks(month) == dict.fromkeys(CHECKS, True)
    assert ingested.failed_months() == set()
    assert ingested.up_to_date()[0][0] is False
    assert f"2024-04 ({NEWER})" in ingested.up_to_date()[0][1]


def test_a_refresh_that_fails_before_it_has_counted_fails_the_check_of_the_asset_and_no_month(
    aws: FakeAws, ingested: Dagster
) -> None:
    fail(aws.step_functions.next)
    assert not ingested.refresh().success
    assert checked(ingested) == {None}
    assert ingested.checks(None) == {"execution_succeeded": False}
    assert ingested.failed_months() == set()
    assert ingested.observations() == []


def test_the_next_refresh_passes_the_check_of_the_asset_again(aws: FakeAws, ingested: Dagster) -> None:
    fail(aws.step_functions.next)
    assert not ingested.refresh().success
    for found in ({"skipped": "is being written by execution backfill-1"}, {}):
        assert ingested.checks(None) == {"execution_succeeded": False}
        aws.step_functions.next = FakeExecution(answers=[aws.finds({}, *MONTHS, **found)])
        assert ingested.refresh().success
    assert ingested.checks(None) == {"execution_succeeded": True}


def test_the_observation_says_what_the_refresh_cost(aws: FakeAws, ingested: Dagster) -> None:
    aws.emr_serverless.usage = {"totalResourceUtilization": {"vCPUHour": 0.5, "memoryGBHour": 2.0}}
    aws.step_functions.next.answers = [aws.finds({}, *MONTHS)]
    assert ingested.refresh().success
    metadata = ingested.observations()[0].metadata
    assert (value(metadata, "vcpu_hours"), value(metadata, "gb_hours")) == (0.5, 2.0)
    assert value(metadata, "usd") > 0


def test_a_refresh_that_succeeds_must_say_what_it_found_and_leave_each_changed_month(
    aws: FakeAws, ingested: Dagster
) -> None:
    assert not ingested.refresh().success
    assert "is SUCCEEDED but did not say what has changed in mockrecord" in ingested.failure_text()
    aws.step_functions.next = FakeExecution(answers=[aws.finds(CHANGED), aws.commits("2024-02")])
    assert not ingested.refresh().success
    assert "is SUCCEEDED but left no manifest of 2024-04" in ingested.failure_text()


def test_a_terminated_refresh_stops_its_execution_and_paints_nothing_red(aws: FakeAws, ingested: Dagster) -> None:
    def interrupt() -> None:
        raise RunTerminatedError

    aws.step_functions.next.answers = [aws.finds(CHANGED, "2024-01", "2024-03"), aws.commits("2024-02"), interrupt]
    assert not ingested.refresh().success
    assert ingested.interrupted()
    assert len(aws.step_functions.stopped) == 1
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == ["2024-02"]
    for month in MONTHS:
        assert ingested.checks(month) == dict.fromkeys(CHECKS, True)
    assert ingested.failed_months() == set()


def test_a_retry_goes_on_with_the_refresh_that_a_run_started_before_it_died(
    aws: FakeAws, ingested: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = create_run_for_test(ingested.instance)
    create = ingested.instance.create_run_for_job
    name = execution_name(parent.run_id, "mockrecord", (), 1)

    def create_repeating(**arguments: Any) -> Any:
        tags = {**arguments["tags"], "dagster/retry_number": "1"}
        ids = {"parent_run_id": parent.run_id, "root_run_id": parent.run_id}
        return create(**{**arguments, **ids, "tags": tags})

    monkeypatch.setattr(ingested.instance, "create_run_for_job", create_repeating)
    before = len(aws.step_functions.started)

    def goes_on() -> None:
        aws.s3.found(name, CHANGED, "2024-01", "2024-03")
        for month in CHANGED:
            aws.s3.commit(month, name)

    aws.step_functions.executions[name] = FakeExecution(answers=[nothing, goes_on])
    assert ingested.refresh().success
    assert len(aws.step_functions.started) == before
    assert logged(ingested, dg.DagsterEventType.ASSET_MATERIALIZATION) == [*CHANGED]
    assert value(ingested.observations()[0].metadata, "execution_name") == name
