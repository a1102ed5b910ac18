from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.dependency import NodeHandle
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._core.test_utils import freeze_time
from dagster._utils.schedules import schedule_execution_time_iterator

from aws_setup.cloudformation import template
from ingest_assets.aws.errors import AwsError
from ingest_assets.aws.schedule_expression import cron_schedule, fires
from ingest_assets.checks.specs import CHECKS
from ingest_assets.definitions import build_definitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.schedules import mirror_schedule, refresh_job
from ingest_assets.tables import TableSpec, load_tables
from spark_scripts.contract.request import resolve
from tests.unit.ingest_assets.conftest import OUTPUTS
from tests.unit.ingest_assets.fakes import client_error

SEED = "cron(0 2 1,15 MAR,APR,MAY,JUN ? *)"
CHICAGO = ZoneInfo("America/Chicago")
TICK = datetime(2026, 3, 15, 2, tzinfo=CHICAGO)


@dataclass
class FakeScheduler:
    """EventBridge Scheduler with the stack's schedule, switched off as in the local account."""

    schedule: dict[str, Any] = field(
        default_factory=lambda: {
            "State": "DISABLED",
            "ScheduleExpression": SEED,
            "ScheduleExpressionTimezone": "America/Chicago",
            "Target": {"Input": '{"refresh": true}'},
        }
    )
    refusal: Exception | None = None

    def get_schedule(self, Name: str) -> dict[str, Any]:  # noqa: N803 (AWS's name)
        assert Name == OUTPUTS.schedule_name
        if self.refusal:
            raise self.refusal
        return self.schedule


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> FakeScheduler:
    fake = FakeScheduler()
    monkeypatch.setattr(AwsAccount, "outputs", lambda _: OUTPUTS)
    monkeypatch.setattr(AwsAccount, "scheduler", lambda _: fake)
    return fake


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname}: {record.getMessage()}")


@dataclass
class Evaluated:
    """What the schedules of the tables do at a tick, and the lines that they log."""

    tables: Sequence[TableSpec]
    data: list[ScheduleExecutionData]
    log: list[str]

    @property
    def skipped(self) -> str:
        assert not any(data.run_requests for data in self.data)
        [message] = {data.skip_message or "" for data in self.data}
        return message

    @property
    def requests(self) -> Sequence[dg.RunRequest]:
        return [request for data in self.data for request in data.run_requests or ()]

    @property
    def refreshed(self) -> list[str]:
        """The tables for which a run of their job is requested that refreshes every month and plans no check."""
        found = []
        for data, table in zip(self.data, self.tables, strict=True):
            for request in data.run_requests or ():
                assert request.run_config == {"ops": {f"raw_layer__{table.name}": {"config": {"refresh": True}}}}
                assert request.asset_selection is None
                assert not [tag for tag in request.tags if "partition" in tag]
                found.append(table.name)
        return found


def evaluate(tick: datetime, *, now: datetime | None = None, tables: Sequence[TableSpec] | None = None) -> Evaluated:
    """What the schedules do at a tick, as the daemon asks them, a minute later unless said otherwise."""
    lines, data = Lines(), []
    tables = load_tables() if tables is None else tables
    for table in tables:
        schedule = mirror_schedule(table=table, job=refresh_job(table=table))
        context = dg.build_schedule_context(scheduled_execution_time=tick, resources={"account": AwsAccount()})
        context.log.addHandler(lines)
        with freeze_time(now or tick.astimezone(UTC) + timedelta(minutes=1)):
            data.append(schedule.evaluate_tick(context))
    return Evaluated(tables, data, list(dict.fromkeys(lines.lines)))


def ticks(expression: str, first: datetime, last: datetime) -> Iterator[datetime]:
    """When Dagster's daemon evaluates the schedule of the expression."""
    found = schedule_execution_time_iterator(first.timestamp(), cron_schedule(expression), "America/Chicago")
    return takewhile(lambda tick: tick < last, found)


def table(**changes: Any) -> TableSpec:
    return TableSpec(**{"table": "public.orders", "date_column": "at", "first_month": "2023-01", **changes})


def test_a_tick_asks_for_a_refresh_per_table(scheduler: FakeScheduler) -> None:
    evaluated = evaluate(TICK)
    assert evaluated.refreshed == ["mockrecord", "orders"]
    keys = [request.run_key for request in evaluated.requests]
    assert keys == ["mockrecord 2026-03-15T02:00:00-05:00", "orders 2026-03-15T02:00:00-05:00"]


def test_a_tick_asks_for_what_the_execution_that_eventbridge_starts_does(scheduler: FakeScheduler) -> None:
    sent = json.loads(template.template()["Resources"]["Schedule"]["Properties"]["Target"]["Input"])
    tables = {one.name: one.to_table() for one in load_tables()}
    of_all = resolve(sent, tables, TICK)
    asked = evaluate(TICK).refreshed
    of_each = [each for name in asked for each in resolve({**sent, "table": name}, tables, TICK)]
    assert of_each == of_all
    assert all(each.refresh and each.months is None for each in of_each)


def test_a_table_whose_first_month_is_to_come_is_skipped(scheduler: FakeScheduler) -> None:
    young, unborn = table(name="young", first_month="2026-03"), table(name="unborn", first_month="2026-04")
    assert evaluate(TICK, tables=[young]).refreshed == ["young"]
    assert evaluate(TICK, tables=[unborn]).skipped == "unborn has no month yet"


def test_a_tick_requests_no_run_while_the_schedule_in_aws_is_enabled(scheduler: FakeScheduler) -> None:
    scheduler.schedule["State"] = "ENABLED"
    evaluated = evaluate(TICK)
    assert evaluated.skipped == (
        "schedule is ENABLED in EventBridge, which starts the execution of this tick. To let Dagster start it: "
        "python -m aws_setup deploy --parameter ScheduleState=DISABLED"
    )
    assert evaluated.log == []


def test_a_tick_warns_that_the_schedule_in_aws_is_not_enabled(scheduler: FakeScheduler) -> None:
    evaluated = evaluate(TICK)
    assert len(evaluated.requests) == 2
    assert evaluated.log == [
        "WARNING: schedule is DISABLED in EventBridge, so that Dagster's schedules start the executions. "
        "To let EventBridge start them: python -m aws_setup deploy --parameter ScheduleState=ENABLED"
    ]


@pytest.mark.parametrize("expression", ["cron(0 3 1,15 MAR,APR,MAY,JUN ? *)", "cron(0 2 L * ? *)", "rate(1 day)"])
def test_a_tick_warns_that_aws_has_another_expression(expression: str, scheduler: FakeScheduler) -> None:
    scheduler.schedule |= {"State": "ENABLED", "ScheduleExpression": expression}
    assert evaluate(TICK).log == [
        f"WARNING: schedule has the expression {expression} in EventBridge, Dagster has {SEED}: python -m aws_setup "
        f"deploy --parameter 'ScheduleExpression={SEED}', or change SCHEDULE_EXPRESSION in "
        "ingest_assets/aws/schedule_expression.py"
    ]


def test_the_same_times_in_other_words_are_no_drift(scheduler: FakeScheduler) -> None:
    scheduler.schedule |= {"State": "ENABLED", "ScheduleExpression": "cron(0 2 1/14 3-6 ? *)"}
    assert len(evaluate(TICK).log) == 1  # the 29th
    scheduler.schedule["ScheduleExpression"] = "cron(0 2 1-15/14 3-6 ?)"
    assert evaluate(TICK).log == []


@pytest.mark.parametrize(("zone", "named"), [("Europe/Berlin", "Europe/Berlin"), (None, "UTC")])
def test_a_tick_warns_that_aws_has_another_time_zone(zone: str | None, named: str, scheduler: FakeScheduler) -> None:
    del scheduler.schedule["ScheduleExpressionTimezone"]
    scheduler.schedule |= {"State": "ENABLED", **({"ScheduleExpressionTimezone": zone} if zone else {})}
    assert evaluate(TICK).log == [
        f"WARNING: schedule has the time zone {named} in EventBridge, Dagster has America/Chicago: python -m "
        "aws_setup deploy --parameter ScheduleTimezone=America/Chicago, or change SCHEDULE_TIMEZONE in "
        "ingest_assets/aws/schedule_expression.py"
    ]


def test_a_tick_fails_when_aws_cannot_be_asked(scheduler: FakeScheduler) -> None:
    scheduler.refusal = client_error("ResourceNotFoundException", "Schedule schedule does not exist.")
    with pytest.raises(dg.DagsterError) as failure:
        evaluate(TICK)
    assert isinstance(failure.value.__cause__, AwsError)
    assert "reading the schedule schedule: " in str(failure.value.__cause__)


def test_a_time_that_the_clock_leaps_over_is_skipped(scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    expression = "cron(0 2 7-9 MAR ? *)"
    monkeypatch.setattr("ingest_assets.schedules.SCHEDULE_EXPRESSION", expression)
    before, missing, after = ticks(
        expression, datetime(2026, 3, 1, tzinfo=CHICAGO), datetime(2026, 4, 1, tzinfo=CHICAGO)
    )
    assert missing.isoformat() == "2026-03-08T03:00:00-05:00"  # Dagster makes up for it at the end of the gap
    assert evaluate(missing).skipped == (
        "cron(0 2 7-9 MAR ? *) does not fire at 2026-03-08T03:00:00-05:00: Dagster's cron expresses it only "
        "roughly, or the clocks changed"
    )
    assert evaluate(before).requests
    assert evaluate(after).requests


def test_a_time_that_the_clock_shows_twice_ticks_once(
    scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    expression = "cron(0 * 1 NOV ? *)"
    monkeypatch.setattr("ingest_assets.schedules.SCHEDULE_EXPRESSION", expression)
    day = ticks(expression, datetime(2026, 11, 1, tzinfo=CHICAGO), datetime(2026, 11, 2, tzinfo=CHICAGO))
    asked = [evaluate(tick) for tick in day]
    assert len(asked) == 25
    [skipped] = [one.skipped for one in asked if not one.requests]
    assert skipped.startswith("cron(0 * 1 NOV ? *) does not fire at 2026-11-01T01:00:00-05:00: ")


def test_a_tick_of_the_wider_cron_is_skipped_on_the_days_that_the_expression_does_not_name(
    scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    expression = "cron(0 2 L * ? *)"
    monkeypatch.setattr("ingest_assets.schedules.SCHEDULE_EXPRESSION", expression)
    month = ticks(expression, datetime(2026, 4, 1, tzinfo=CHICAGO), datetime(2026, 5, 1, tzinfo=CHICAGO))
    assert [bool(evaluate(tick).requests) for tick in month] == [False, False, True]  # the 28th, 29th and 30th


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 2 * * ? *)",
        "cron(30 1 * * ? *)",
        "cron(0/20 * * * ? *)",
        "cron(30 1,2,3 ? * SUN *)",
        "cron(0,30 2 8 MAR ? *)",
        "cron(15 1 1 NOV ? *)",
        "cron(0 0 1/7 3,11 ? *)",
        "cron(0 2 15 * ? *)",
        "cron(30 2 ? * 1 *)",
    ],
)
def test_when_clocks_are_changed_dagster_ticks_once_for_each_time_that_there_is(expression: str) -> None:
    minute, hour, day, month, weekday = cron_schedule(expression).split()
    for first in (datetime(2026, 3, 6), datetime(2026, 10, 30)):
        shown = [first + timedelta(minutes=count) for count in range(5 * 24 * 60)]
        matching = [
            at.replace(tzinfo=CHICAGO, fold=1)
            for at in shown
            if in_field(minute, at.minute)
            and in_field(hour, at.hour)
            and in_field(day, at.day)
            and in_field(month, at.month)
            and in_field(weekday, at.isoweekday() % 7)
        ]
        instants = {at.astimezone(UTC) for at in matching if real(at)}
        last = first + timedelta(days=5)
        found = ticks(expression, first.replace(tzinfo=CHICAGO), last.replace(tzinfo=CHICAGO))
        normal = [tick.astimezone(UTC).astimezone(CHICAGO) for tick in found]
        assert [tick.astimezone(UTC) for tick in normal if fires(expression, tick)] == sorted(instants)


def in_field(field: str, number: int) -> bool:
    return field == "*" or str(number) in field.split(",")


def real(at: datetime) -> bool:
    """Whether the clock ever shows the time."""
    return at.astimezone(UTC).astimezone(CHICAGO).replace(tzinfo=None) == at.replace(tzinfo=None)


def test_dagster_has_the_schedules_with_their_clock() -> None:
    schedules = build_definitions().get_repository_def().schedule_defs
    clocks = {(schedule.cron_schedule, schedule.execution_timezone) for schedule in schedules}
    assert clocks == {("0 2 1,15 3,4,5,6 *", "America/Chicago")}


def test_each_table_has_a_schedule_that_targets_a_job_of_its_own() -> None:
    repository = build_definitions().get_repository_def()
    targets = {schedule.name: schedule.job_name for schedule in repository.schedule_defs}
    assert targets == {f"eventbridge_mirror_{one.name}": f"refresh_{one.name}" for one in load_tables()}
    for one in load_tables():
        for name, checks in (("ingest", len(CHECKS) + 1), ("refresh", 0)):
            job = repository.get_job(f"{name}_{one.name}")
            assert job.asset_layer.selected_asset_keys == {dg.AssetKey(["raw_layer", one.name])}
            [node] = job.nodes
            keys = job.asset_layer.get_selected_entity_keys_for_node(NodeHandle(node.name, None))
            assert len([key for key in keys if isinstance(key, dg.AssetCheckKey)]) == checks
