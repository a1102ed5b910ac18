"""The schedules that tick with EventBridge's, one for each table, and take its place when that is switched off.

One of the two starts the executions: while the schedule in AWS is ENABLED, ticks are skipped here. EventBridge starts
one execution for all tables, here each table has a run, with the same months: request.resolve names them for both.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a schedule's function themselves.

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from ingest_assets._compat import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG, UnresolvedAssetJob
from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.automation import schedule_status
from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.schedule_drift import DeployedSchedule, differences, read_schedule
from ingest_assets.aws.schedule_expression import (
    SCHEDULE_EXPRESSION,
    SCHEDULE_TIMEZONE,
    cron_schedule,
    fires,
    trailing_months,
)
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.tables import TableSpec
from spark_scripts.contract.request import resolve

NAME = "eventbridge_mirror"

_ENABLED = "ENABLED"
_DEPLOY = "python -m aws_setup deploy --parameter"


def ingest_job(*, table: TableSpec) -> UnresolvedAssetJob:
    """The job that ingests months of a table."""
    return dg.define_asset_job(
        f"ingest_{table.name}",
        selection=dg.AssetSelection.assets(raw_layer_key(table.name)),
        description=f"Ingests months of {table.table} into the raw layer.",
    )


def mirror_schedule(*, table: TableSpec, job: UnresolvedAssetJob) -> dg.ScheduleDefinition:
    """The schedule of a table, which runs its job.

    There is one for each table: a job of several tables would need all to have the same months.
    """

    @dg.schedule(
        name=f"{NAME}_{table.name}",
        job=job,
        cron_schedule=cron_schedule(SCHEDULE_EXPRESSION),
        execution_timezone=SCHEDULE_TIMEZONE,
        default_status=schedule_status(),
        description=f"Ticks as {SCHEDULE_EXPRESSION} in EventBridge; skips while the schedule there is {_ENABLED}.",
    )
    def mirror(context: dg.ScheduleEvaluationContext, account: AwsAccount) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time.astimezone(UTC).astimezone(ZoneInfo(SCHEDULE_TIMEZONE))
        if not fires(SCHEDULE_EXPRESSION, tick):
            return dg.SkipReason(
                f"{SCHEDULE_EXPRESSION} does not fire at {tick.isoformat()}: Dagster's cron cannot say it exactly, or "
                "the clocks are changed"
            )
        schedule = _in_aws(account)
        for text in _warnings(schedule):
            context.log.warning(text)
        if schedule.state == _ENABLED:
            return dg.SkipReason(
                f"{schedule.name} is {_ENABLED} in EventBridge, which starts the execution of this tick. For Dagster "
                f"to do it: {_DEPLOY} ScheduleState=DISABLED"
            )
        return _request(table, tick) or dg.SkipReason(f"{table.name} has no month yet")

    return mirror


def _request(table: TableSpec, tick: datetime) -> dg.RunRequest | None:
    """A run over the months that EventBridge's execution would ingest, as far as Dagster has them."""
    request = {"scheduled_time": tick.isoformat(), "trailing_months": trailing_months(SCHEDULE_EXPRESSION)}
    resolved = resolve(request, {table.name: table.to_table()}, tick)
    partitions = monthly_partitions(table)
    wanted = [str(month) for one in resolved for month in one.months or ()]
    months = [month for month in wanted if partitions.has_partition_key(month)]
    if not months:
        return None
    return dg.RunRequest(
        run_key=f"{table.name} {tick.isoformat()}",
        asset_selection=[raw_layer_key(table.name)],
        tags={ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[-1]},
    )


def _in_aws(account: AwsAccount) -> DeployedSchedule:
    """The schedule as it is in AWS. Raises AwsError or StackError."""
    name = account.outputs().schedule_name
    with aws_errors(f"reading the schedule {name}"):
        return read_schedule(account.scheduler(), name)


def _warnings(schedule: DeployedSchedule) -> Iterator[str]:
    """How the schedule in EventBridge differs from this one, and what to do."""
    yield from differences(schedule)
    if schedule.state != _ENABLED:
        yield (
            f"{schedule.name} is {schedule.state} in EventBridge, so that Dagster's schedules start the executions. "
            f"For EventBridge to do it: {_DEPLOY} ScheduleState={_ENABLED}"
        )
