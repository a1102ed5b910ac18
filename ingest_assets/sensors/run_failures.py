"""The sensor that publishes runs that failed without an execution to the failure topic.

The state machine publishes the failure of an execution, and EventBridge an aborted one; a run that started no execution
would fail silently. Each failed run is published once, or again if Dagster's daemon dies before it has stored the
cursor. If a run is retried automatically, only the last retry is published.

A `@run_failure_sensor` would not do: it skips a run whose alert could not be sent (dagster 1.13,
_handle_run_reactions). The cursor here is the storage id of the last failure that needs nothing more.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a sensor's function themselves.

import time
from collections.abc import Sequence

import dagster as dg

from ingest_assets._compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    WILL_RETRY_TAG,
    JobFailureData,
)
from ingest_assets.asset_keys import raw_layer_key, refresh_job_name, table_of_job
from ingest_assets.automation import sensor_status
from ingest_assets.aws.executions import shortened
from ingest_assets.aws.messages import DAGSTER, Notification
from ingest_assets.metadata import EXECUTION_TAG
from ingest_assets.resources.topic import Alerts
from spark_scripts.contract.errors import DataLakeError, InvalidInputError
from spark_scripts.contract.months import Month

NAME = "run_failure_alerts"

_MOST_FAILURES = 25  # in one tick, which Dagster ends after 60 s
_RETRY_SECONDS = 300.0  # in which Dagster starts a retry, if it makes one
_MOST_NAMED = 3


def alert_sensor() -> dg.SensorDefinition:
    """The sensor for the runs of this code location that fail after the sensor's first tick."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=30,
        default_status=sensor_status(),
        description="Publishes runs that failed without an execution to the failure topic.",
    )
    def sensor(context: dg.SensorEvaluationContext, alerts: Alerts) -> dg.SensorResult:
        if context.cursor is None:
            return dg.SensorResult(
                skip_reason="publishes the runs that fail from now on", cursor=str(_last_failure(context.instance))
            )
        tick = _Tick(context, alerts)
        cursor = context.cursor
        for record in _failures(context.instance, after=int(cursor)):
            if not tick.settle(record):
                break
            cursor = str(record.storage_id)
        runs = ", ".join(tick.published)
        message = f"published {runs}" if runs else "no run has failed without an execution since"
        return dg.SensorResult(skip_reason=message, cursor=cursor)

    return sensor


class _Tick:
    """Publishes failures; `published` names their runs."""

    def __init__(self, context: dg.SensorEvaluationContext, alerts: Alerts) -> None:
        self.published: list[str] = []
        self._context = context
        self._instance = context.instance
        self._alerts = alerts
        self._location = context.code_location_origin.location_name if context.code_location_origin else None

    def settle(self, failure: dg.EventLogRecord) -> bool:
        """Publish the failure if it must be, and return whether it needs nothing more.

        Raises AwsError or StackError when the failure could not be published. If another one was published in this
        tick, that is a warning only, because the cursor of a tick that fails is lost.
        """
        run = self._instance.get_run_by_id(failure.run_id)
        if run is None or _location(run) != self._location:
            return True
        if self._awaits_retry(run, failure.timestamp):
            return False
        if AUTO_RETRY_RUN_ID_TAG in run.tags or self._has_execution(run):
            return True
        try:
            self._publish(run, failure)
        except DataLakeError as error:
            if not self.published:
                raise
            self._context.log.warning(f"{error}. The next tick tries again.")
            return False
        self.published.append(f"run {run.run_id}")
        return True

    def _awaits_retry(self, run: dg.DagsterRun, failed_at: float) -> bool:
        """Whether the run may still be retried; Dagster decides that after it has recorded the failure."""
        if not self._instance.run_retries_enabled or run.tags.get(WILL_RETRY_TAG) == "false":
            return False
        return AUTO_RETRY_RUN_ID_TAG not in run.tags and time.time() < failed_at + _RETRY_SECONDS

    def _has_execution(self, run: dg.DagsterRun) -> bool:
        """Whether the run started or re-attached to an execution. A re-execution by hand inherits its parent's tag."""
        name = run.tags.get(EXECUTION_TAG)
        if name is None or run.parent_run_id is None or RETRY_NUMBER_TAG in run.tags:
            return name is not None
        parent = self._instance.get_run_by_id(run.parent_run_id)
        return parent is None or parent.tags.get(EXECUTION_TAG) != name

    def _publish(self, run: dg.DagsterRun, failure: dg.EventLogRecord) -> None:
        error, cause = _reason(failure)
        subject = f"Dagster run {run.run_id[:8]} failed: {_subject(run)}"
        sentence = (
            f"The Dagster run {run.run_id} of {_subject(run)} failed and started no execution. Fix the cause, then "
            f"re-execute the run in Dagster. Reason: {cause}"
        )
        self._alerts.publish(subject=subject, sentence=sentence, notification=_notification(run, error, cause))


def _failures(instance: dg.DagsterInstance, *, after: int) -> Sequence[dg.EventLogRecord]:
    wanted = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=after)
    return instance.fetch_run_status_changes(wanted, limit=_MOST_FAILURES, ascending=True).records


def _last_failure(instance: dg.DagsterInstance) -> int:
    records = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    return records[0].storage_id if records else -1


def _location(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return origin.repository_origin.code_location_origin.location_name if origin else None


def _subject(run: dg.DagsterRun) -> str:
    """What the run should have done: its assets, else its checks, else its job; and its months."""
    selected = run.asset_selection or run.asset_check_selection or ()
    names = sorted(key.to_user_string() for key in selected)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    months = _months(run)
    span = f" {' to '.join(dict.fromkeys([months[0], months[-1]]))}" if months else ""
    return f"{', '.join(names[:_MOST_NAMED]) or run.job_name}{more}{span}"


def _notification(run: dg.DagsterRun, error: str, cause: str) -> Notification:
    tables = _tables(run)
    months = _months(run)
    [table] = tables if len(tables) == 1 else [None]
    asked: dict[str, object] = {"table": table, "months": months} if table and months else {}
    if table and run.job_name == refresh_job_name(table):
        asked = {"refresh": True, "table": table, **asked}
    request = {**asked, "requested_by": run.run_id}
    return Notification("FAILED", execution_arn="", request=request, error=error, cause=cause, source=DAGSTER)


def _tables(run: dg.DagsterRun) -> list[str]:
    """The tables of the run's raw layers; a run that was launched from the page of a job has no selection of assets."""
    if run.asset_selection:
        return [key.path[-1] for key in run.asset_selection if key == raw_layer_key(key.path[-1])]
    table = table_of_job(run.job_name)
    return [] if table is None else [table]


def _months(run: dg.DagsterRun) -> list[str]:
    """The months of the run; if its partitions are no months, the first and the last partition."""
    if PARTITION_NAME_TAG in run.tags:
        return [run.tags[PARTITION_NAME_TAG]]
    first, last = run.tags.get(ASSET_PARTITION_RANGE_START_TAG), run.tags.get(ASSET_PARTITION_RANGE_END_TAG)
    if first is None or last is None:
        return []
    try:
        month, end = Month.parse(first), Month.parse(last)
    except InvalidInputError:
        return [first, last]
    return [str(month.plus(later)) for later in range((end.year - month.year) * 12 + end.number - month.number + 1)]


def _reason(failure: dg.EventLogRecord) -> tuple[str, str]:
    """Name and text of the error of the first failed step, else of the run."""
    event = failure.event_log_entry.get_dagster_event()
    data = event.event_specific_data
    if not isinstance(data, JobFailureData) or data.error is None:
        return "RunFailure", shortened((event.message or "Dagster gave no reason.").strip())
    step = data.first_step_failure_event.step_failure_data if data.first_step_failure_event else None
    if step and step.user_failure_data and step.user_failure_data.description:
        return "Failure", shortened(step.user_failure_data.description.strip())
    error = data.error
    while error.cause:
        error = error.cause
    return error.cls_name or "RunFailure", shortened(error.message.strip())
