from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from ingest_assets.sensors.freshness import freshness_sensor
from ingest_assets.tables import TableSpec, load_tables
from tests.unit.ingest_assets.fakes import FakeAws, FakeExecution
from tests.unit.ingest_assets.harness import KEY, Dagster

CHECK = dg.AssetCheckKey(KEY, "ingested_in_time")
# The schedule ticks on the 1st and 15th from March to June, and its ticks of a day are due by the end of it.
DURING_THE_REST = datetime(2026, 11, 24, 12, tzinfo=UTC)
ON_THE_DAY = datetime(2026, 3, 1, 18, tzinfo=UTC)
ON_THE_DAY_AFTER = datetime(2026, 3, 2, 18, tzinfo=UTC)


def tick(dagster: Dagster, now: datetime, *tables: TableSpec) -> list[dg.AssetCheckEvaluation]:
    """What the sensor does, its events being stored as Dagster's daemon stores them."""
    context = dg.build_sensor_context(instance=dagster.instance)
    result = freshness_sensor(tables=tables or load_tables()[:1], now=lambda: now)(context)
    assert isinstance(result, dg.SensorResult)
    events = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert len(events) == len(result.asset_events)
    for event in events:
        dagster.instance.report_runless_asset_event(event)
    return events


@pytest.mark.parametrize(
    ("months", "now", "overdue"),
    [
        ([], DURING_THE_REST, ["2026-06"]),
        (["2026-06"], DURING_THE_REST, []),
        (["2026-06", "2023-01"], DURING_THE_REST, []),
        (["2026-05", "2023-01"], DURING_THE_REST, ["2026-06"]),
        (["2025-06"], ON_THE_DAY, []),
        (["2025-06"], ON_THE_DAY_AFTER, ["2026-03"]),
        (["2025-06", "2026-03"], ON_THE_DAY_AFTER, []),
    ],
)
def test_the_month_of_the_last_tick_is_overdue_when_it_is_not_ingested_whatever_else_was(
    aws: FakeAws, dagster: Dagster, months: list[str], now: datetime, overdue: list[str]
) -> None:
    for month in months:
        dagster.instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=month))
    events = tick(dagster, now)
    assert [(event.check_name, event.partition, event.passed) for event in events] == [
        (CHECK.name, month, False) for month in overdue
    ]


def test_a_month_is_reported_overdue_once_and_passes_when_it_has_been_ingested(aws: FakeAws, dagster: Dagster) -> None:
    [event] = tick(dagster, DURING_THE_REST)
    assert event.description == "2026-06 was due by the end of 2026-06-15 and has not been ingested."
    assert tick(dagster, DURING_THE_REST) == []
    aws.step_functions.next = FakeExecution(answers=[aws.commits("2026-06")])
    assert dagster.materialize("2026-06").success
    [last] = dagster.instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=1)
    assert last.evaluation is not None
    assert (last.evaluation.passed, last.partition) == (True, "2026-06")


def test_a_table_whose_first_month_is_later_is_not_overdue(aws: FakeAws, dagster: Dagster) -> None:
    young = TableSpec(name="mockrecord", table="public.mockrecord", date_column="at", first_month="2026-07")
    assert tick(dagster, DURING_THE_REST, young) == []


def test_a_good_run_has_no_step_and_no_result_but_those_of_its_month(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next = FakeExecution(answers=[aws.commits("2024-02")])
    result = dagster.materialize("2024-02")
    assert [event.step_key for event in result.get_step_success_events()] == ["raw_layer__mockrecord"]
    failed = {evaluation.check_name for evaluation in result.get_asset_check_evaluations() if not evaluation.passed}
    assert failed == {"up_to_date"}  # no refresh has looked at the table
