"""The sensor that fails the check ingested_in_time of a month that is overdue.

A month is overdue if it has not been ingested by the end of the day of its schedule's tick. The run that ingests the
month passes the check, this sensor fails it; neither needs a step of its own. A FreshnessPolicy would count the newest
materialisation of any month (https://github.com/dagster-io/dagster/discussions/34023).
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a sensor's function themselves.

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.automation import freshness_status
from ingest_assets.aws.schedule_expression import SCHEDULE_EXPRESSION, SCHEDULE_TIMEZONE, last_tick_before
from ingest_assets.checks.specs import INGESTED_IN_TIME
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.tables import TableSpec
from spark_scripts.contract.months import Month

SENSOR = "overdue_months"


def freshness_sensor(
    *, tables: Sequence[TableSpec], now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dg.SensorDefinition:
    """The sensor that logs a failed check, once, for each month that is overdue at the instant `now`."""

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=600,
        default_status=freshness_status(),
        description="Fails the check ingested_in_time of the month that the schedule's last tick should have ingested.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        overdue = list(_overdue(context.instance, tables, now()))
        named = ", ".join(f"{event.asset_key.path[-1]} {event.partition}" for event in overdue)
        message = f"overdue: {named}" if overdue else "no new month is overdue"
        return dg.SensorResult(skip_reason=message, asset_events=overdue)

    return sensor


def _overdue(
    instance: dg.DagsterInstance, tables: Sequence[TableSpec], now: datetime
) -> Iterator[dg.AssetCheckEvaluation]:
    zone = ZoneInfo(SCHEDULE_TIMEZONE)
    tick = last_tick_before(SCHEDULE_EXPRESSION, now.astimezone(zone).date())
    if tick is None:
        return
    for table in tables:
        month = Month.current(table.timezone, tick.replace(tzinfo=zone))
        if month < Month.parse(table.first_month) or _is_settled(instance, table, str(month)):
            continue
        yield dg.AssetCheckEvaluation(
            asset_key=raw_layer_key(table.name),
            check_name=INGESTED_IN_TIME,
            passed=False,
            description=f"{month} was due by the end of {tick:%Y-%m-%d} and has not been ingested.",
            metadata={"month": dg.MetadataValue.text(str(month))},
            partition=str(month),
        )


def _is_settled(instance: dg.DagsterInstance, table: TableSpec, month: str) -> bool:
    """Whether the month has been ingested, or has been logged as overdue already."""
    key = raw_layer_key(table.name)
    if instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[month]), limit=1).records:
        return True
    # Dagster 1.13 stores only one result without a run for a check and month (`asset_check_executions` is unique).
    last = EventLog(instance).last_result(dg.AssetCheckKey(key, INGESTED_IN_TIME), month)
    return last is not None and not last[0].passed
