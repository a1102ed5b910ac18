"""The schedules, one for each table, which tick with EventBridge's schedule and replace it when it is disabled.

Only one of the two starts executions: while the schedule in AWS is ENABLED, Dagster's skip their ticks. EventBridge
starts one refresh of all tables, Dagster a run for each table, which refreshes it: both look at the same months.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a schedule's function themselves.

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from ingest_assets._compat import UnresolvedAssetJob
from ingest_assets.asset_keys import ingest_job_name, raw_layer_key, refresh_job_name, step_key
from ingest_assets.automation import schedule_status
from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.schedule_drift import DeployedSchedule, differences, read_schedule
from ingest_assets.aws.schedule_expression import (
    SCHEDULE_EXPRESSION,
    SCHEDULE_TIMEZONE,
    cron_schedule,
    fires,
)
from ingest_assets.resources.account import AwsAccount
from ingest_assets.tables import TableSpec
from spark_scripts.contract.months import Month

NAME = "eventbridge_mirror"

_ENABLED = "ENABLED"
_DEPLOY = "python -m aws_setup deploy --parameter"


def ingest_job(*, table: TableSpec) -> UnresolvedAssetJob:
    """The job that ingests months of the table."""
    return dg.define_asset_job(
        ingest_job_name(table.name),
        selection=dg.AssetSelection.assets(raw_layer_key(table.name)),
        description=f"Ingests months of {table.table} into the raw layer, whether they have changed or not.",
    )


def refresh_job(*, table: TableSpec) -> UnresolvedAssetJob:
    """The job that ingests those months of the table that have changed.

    It plans no checks, because Dagster would show those of unchanged months as skipped: the step logs the checks of the
    months that it ingests. The config shows in the Launchpad what the job does.
    """
    return dg.define_asset_job(
        refresh_job_name(table.name),
        selection=dg.AssetSelection.assets(raw_layer_key(table.name)).without_checks(),
        description=f"Ingests those months of {table.table} whose rows have changed since they were ingested.",
        config=_refresh_config(table),
    )


def _refresh_config(table: TableSpec) -> dict[str, object]:
    return {"ops": {step_key(table.name): {"config": {"refresh": True}}}}


def mirror_schedule(*, table: TableSpec, job: UnresolvedAssetJob) -> dg.ScheduleDefinition:
    """The schedule that runs a table's `refresh_job`.

    Each table has its own, because a job of several tables would need the same months in all.
    """

    @dg.schedule(
        name=f"{NAME}_{table.name}",
        job=job,
        cron_schedule=cron_schedule(SCHEDULE_EXPRESSION),
        execution_timezone=SCHEDULE_TIMEZONE,
        default_status=schedule_status(),
        description=f"Ticks at {SCHEDULE_EXPRESSION}; skips while the schedule in EventBridge is {_ENABLED}.",
    )
    def mirror(context: dg.ScheduleEvaluationContext, account: AwsAccount) -> dg.RunRequest | dg.SkipReason:
        tick = context.scheduled_execution_time.astimezone(UTC).astimezone(ZoneInfo(SCHEDULE_TIMEZONE))
        if not fires(SCHEDULE_EXPRESSION, tick):
            return dg.SkipReason(
                f"{SCHEDULE_EXPRESSION} does not fire at {tick.isoformat()}: Dagster's cron expresses it only roughly, "
                "or the clocks changed"
            )
        schedule = _read_schedule(account)
        for text in _warnings(schedule):
            context.log.warning(text)
        if schedule.state == _ENABLED:
            return dg.SkipReason(
                f"{schedule.name} is {_ENABLED} in EventBridge, which starts the execution of this tick. To let "
                f"Dagster start it: {_DEPLOY} ScheduleState=DISABLED"
            )
        return _request(table, tick) or dg.SkipReason(f"{table.name} has no month yet")

    return mirror


def _request(table: TableSpec, tick: datetime) -> dg.RunRequest | None:
    """A run that refreshes every month of the table; None if the table has none yet.

    The run has no partitions: a run with a range of them that failed would show all of them as failed, and those that
    never change for good, since only a materialisation ends that (dagster 1.13). It selects no assets of the job, since
    that would add their checks.
    """
    if Month.current(table.timezone, tick) < Month.parse(table.first_month):
        return None
    return dg.RunRequest(
        run_key=f"{table.name} {tick.isoformat()}",
        run_config=_refresh_config(table),
    )


def _read_schedule(account: AwsAccount) -> DeployedSchedule:
    """Read the schedule from EventBridge. Raises AwsError or StackError."""
    name = account.outputs().schedule_name
    with aws_errors(f"reading the schedule {name}"):
        return read_schedule(account.scheduler(), name)


def _warnings(schedule: DeployedSchedule) -> Iterator[str]:
    """How the schedule in EventBridge differs from Dagster's, and what to do."""
    yield from differences(schedule)
    if schedule.state != _ENABLED:
        yield (
            f"{schedule.name} is {schedule.state} in EventBridge, so that Dagster's schedules start the executions. "
            f"To let EventBridge start them: {_DEPLOY} ScheduleState={_ENABLED}"
        )
