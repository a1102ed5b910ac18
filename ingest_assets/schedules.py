"""The schedule that ticks with EventBridge's, and takes its place when that is switched off.

One of the two starts the executions: while the schedule in AWS is ENABLED, ticks are skipped here. EventBridge starts
one execution for all tables, here each table has a run, with the same months: request.resolve names them for both.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a schedule's function themselves.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME  # no public names as of 1.13
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from ingest_assets.assets import raw_layer_key
from ingest_assets.automation import schedule_status
from ingest_assets.aws import aws_errors
from ingest_assets.cron import (
    SCHEDULE_EXPRESSION,
    SCHEDULE_TIMEZONE,
    CronError,
    cron_schedule,
    fires,
    trailing_months,
)
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.tables import TableSpec
from spark_scripts.request import resolve

NAME = "eventbridge_mirror"

_ENABLED = "ENABLED"
_DEPLOY = "python -m aws_setup deploy --parameter"


@dataclass(frozen=True)
class _AwsSchedule:
    """The schedule in AWS."""

    name: str
    state: str
    expression: str
    timezone: str


def mirror_schedule(*, tables: Sequence[TableSpec]) -> dg.ScheduleDefinition:
    """One schedule for all tables, with a run for each.

    Its job is the one that holds every asset, since a job of several tables would need all to have the same months.
    """

    @dg.schedule(
        name=NAME,
        job_name=IMPLICIT_ASSET_JOB_NAME,
        cron_schedule=cron_schedule(SCHEDULE_EXPRESSION),
        execution_timezone=SCHEDULE_TIMEZONE,
        default_status=schedule_status(),
        description=f"Ticks as {SCHEDULE_EXPRESSION} in EventBridge; skips while the schedule there is {_ENABLED}.",
    )
    def mirror(context: dg.ScheduleEvaluationContext, account: AwsAccount) -> list[dg.RunRequest] | dg.SkipReason:
        tick = context.scheduled_execution_time.astimezone(UTC).astimezone(ZoneInfo(SCHEDULE_TIMEZONE))
        if not fires(SCHEDULE_EXPRESSION, tick):
            return dg.SkipReason(f"EventBridge does not fire at {tick.isoformat()}, when the clocks are changed")
        schedule = _in_aws(account)
        for text in _drift(schedule):
            context.log.warning(text)
        if schedule.state == _ENABLED:
            return dg.SkipReason(
                f"{schedule.name} is {_ENABLED} in EventBridge, which starts the execution of this tick. For Dagster "
                f"to do it: {_DEPLOY} ScheduleState=DISABLED"
            )
        requests = list(_requests(tables, tick))
        return requests or dg.SkipReason("no table has a month yet")

    return mirror


def _requests(tables: Sequence[TableSpec], tick: datetime) -> Iterator[dg.RunRequest]:
    """A run per table over the months that EventBridge's execution would ingest, as far as Dagster has them."""
    specs = {table.name: table for table in tables}
    request = {"scheduled_time": tick.isoformat(), "trailing_months": trailing_months(SCHEDULE_EXPRESSION)}
    for wanted in resolve(request, {name: spec.to_table() for name, spec in specs.items()}, tick):
        name = wanted.table.name
        partitions = monthly_partitions(specs[name])
        months = [str(month) for month in wanted.months or () if partitions.has_partition_key(str(month))]
        if months:
            yield dg.RunRequest(
                run_key=f"{name} {tick.isoformat()}",
                asset_selection=[raw_layer_key(name)],
                tags={ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[-1]},
            )


def _in_aws(account: AwsAccount) -> _AwsSchedule:
    """The schedule as it is in AWS. Raises AwsError or StackError."""
    name = account.outputs().schedule_name
    with aws_errors(f"reading the schedule {name}"):
        answer = account.scheduler().get_schedule(Name=name)
    return _AwsSchedule(
        name, answer["State"], answer["ScheduleExpression"], answer.get("ScheduleExpressionTimezone", "UTC")
    )


def _drift(schedule: _AwsSchedule) -> Iterator[str]:
    """What the schedule in AWS has otherwise than this one, and what to do."""
    if not _same_times(schedule.expression):
        yield (
            f"{schedule.name} has the expression {schedule.expression} in EventBridge, Dagster has "
            f"{SCHEDULE_EXPRESSION}: {_DEPLOY} 'ScheduleExpression={SCHEDULE_EXPRESSION}', or change "
            "SCHEDULE_EXPRESSION in ingest_assets/cron.py"
        )
    if schedule.timezone != SCHEDULE_TIMEZONE:
        yield (
            f"{schedule.name} has the time zone {schedule.timezone} in EventBridge, Dagster has {SCHEDULE_TIMEZONE}: "
            f"{_DEPLOY} ScheduleTimezone={SCHEDULE_TIMEZONE}, or change SCHEDULE_TIMEZONE in ingest_assets/cron.py"
        )
    if schedule.state != _ENABLED:
        yield (
            f"{schedule.name} is {schedule.state} in EventBridge, so that Dagster's {NAME} starts the executions. "
            f"For EventBridge to do it: {_DEPLOY} ScheduleState={_ENABLED}"
        )


def _same_times(expression: str) -> bool:
    try:
        return cron_schedule(expression) == cron_schedule(SCHEDULE_EXPRESSION)
    except CronError:
        return False
