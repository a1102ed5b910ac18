"""Bring executions that Dagster did not follow itself into its event log: each month once, with its checks.

Each such execution becomes a finished run of its own, under an id made from its ARN. Events without a run would not do:
of their check results Dagster 1.13 can store one per check and month, ever (the unique index of
`asset_check_executions` holds run and partition).

There is no cursor: whether a month of an execution has been recorded is read in the event log itself, event by event.
Messages that come twice, ticks that are replayed after a crash and previews of a tick in the UI therefore neither
double nor lose anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

import dagster as dg

# These have no public names as of 1.13.
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

from ingest_assets.assets import raw_layer_key
from ingest_assets.checks import CHECKS, EXECUTION_SUCCEEDED, evaluations, not_ingested
from ingest_assets.event_log import EventLog
from ingest_assets.job_runs import JobRun
from ingest_assets.metadata import execution_metadata, month_metadata
from ingest_assets.notifications import Notification
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.resources.workflow import EXECUTION_TAG
from ingest_assets.tables import TableSpec
from spark_scripts.errors import InvalidInputError
from spark_scripts.request import resolve

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation

_LONGEST_CAUSE = 2000  # characters; Step Functions gives up to 32,768


def is_being_recorded(instance: dg.DagsterInstance, run_id: str | None) -> bool:
    """Whether the run that started an execution, or an automatic retry of it, is still to record the months."""
    run = instance.get_run_by_id(run_id) if run_id else None
    while run is not None:
        retry = run.tags.get(AUTO_RETRY_RUN_ID_TAG)
        if retry is None:
            return not run.is_finished or run.tags.get(WILL_RETRY_TAG) == "true"
        run = instance.get_run_by_id(retry)
    return False


class Recorder:
    """Records in the event log of `instance` what it lacks of executions."""

    def __init__(self, instance: dg.DagsterInstance, tables: Mapping[str, TableSpec], raw_layer: RawLayer) -> None:
        self._instance = instance
        self._tables = tables
        self._raw_layer = raw_layer
        self._log = EventLog(instance)
        self.unknown: list[str] = []
        """Tables and months of the executions that Dagster does not have."""

    def record(self, notification: Notification) -> int:
        """Record what is missing of an execution that has ended: how many events that was.

        Raises AwsError when the bucket cannot be read.
        """
        events = list(self._missing(notification))
        if events:
            run = _run(notification)
            if not self._instance.has_run(run.run_id):
                self._instance.add_run(run)
            for event in events:
                self._instance.report_dagster_event(_dagster_event(event, run.job_name), run_id=run.run_id)
        return len(events)

    def _missing(self, notification: Notification) -> Iterator[Event]:
        ingested = self._raw_layer.ingested_by(notification.execution_name)
        for table, month in ingested:
            spec = self._tables.get(table)
            if spec is None or not monthly_partitions(spec).has_partition_key(month):
                self.unknown.append(f"{table} {month}")
            elif self._lacks(table, month, notification.execution_name):
                yield from self._month(table, month, notification)
        if notification.status != "SUCCEEDED":
            yield from self._failures(notification, set(ingested))

    def _lacks(self, table: str, month: str, execution: str) -> bool:
        asset = raw_layer_key(table)
        if not self._log.has_materialization(asset, month, execution):
            return True
        return not all(self._log.has_check(dg.AssetCheckKey(asset, check), month, execution) for check in CHECKS)

    def _month(self, table: str, month: str, notification: Notification) -> Iterator[Event]:
        """The materialisation and the checks of a month, those that the event log lacks."""
        asset, execution = raw_layer_key(table), notification.execution_name
        manifest = self._raw_layer.left_by(table, [month], execution)[month]
        if not self._log.has_materialization(asset, month, execution):
            metadata = month_metadata(
                manifest,
                bucket=self._raw_layer.bucket_name(),
                execution_arn=notification.execution_arn,
                job_run=_job_run(notification),
            )
            yield dg.AssetMaterialization(asset, metadata=metadata, partition=month, tags={EXECUTION_TAG: execution})
        for evaluation in evaluations(self._raw_layer, asset, manifest):
            if not self._log.has_check(evaluation.asset_check_key, month, execution):
                yield evaluation

    def _failures(self, notification: Notification, ingested: set[tuple[str, str]]) -> Iterator[Event]:
        """A failed check for each month that was to be ingested and was not."""
        reason = f"Execution {notification.execution_name} is {notification.status}: {_reason(notification)}"
        links = execution_metadata(
            notification.execution_arn, bucket=self._raw_layer.bucket_name(), job_run=_job_run(notification)
        )
        for table, month in self._requested(notification.request):
            check = dg.AssetCheckKey(raw_layer_key(table), EXECUTION_SUCCEEDED)
            if (table, month) in ingested or self._log.has_check(check, month, notification.execution_name):
                continue
            yield not_ingested(check.asset_key, month, reason, notification.execution_name, links)

    def _requested(self, request: object) -> Iterator[tuple[str, str | None]]:
        """Table and month of what an execution was asked for; None for every month that the table has."""
        tables = {name: spec.to_table() for name, spec in self._tables.items()}
        try:
            resolved = resolve(request, tables, datetime.now(UTC))
        except InvalidInputError:  # what was asked for is nothing that Dagster has
            return
        for wanted in resolved:
            if wanted.months is None:
                yield wanted.table.name, None
            for month in wanted.months or ():
                yield wanted.table.name, str(month)


def _run(notification: Notification) -> dg.DagsterRun:
    """The execution as a run that has ended, under the name of its state machine."""
    *_, state_machine, name = notification.execution_arn.split(":")
    succeeded = notification.status == "SUCCEEDED"
    return dg.DagsterRun(
        job_name=state_machine,
        run_id=str(uuid5(NAMESPACE_URL, notification.execution_arn)),
        status=dg.DagsterRunStatus.SUCCESS if succeeded else dg.DagsterRunStatus.FAILURE,
        tags={EXECUTION_TAG: name, "ingest/execution_arn": notification.execution_arn},
    )


def _dagster_event(event: Event, job_name: str) -> DagsterEvent:
    if isinstance(event, dg.AssetMaterialization):
        return DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=job_name,
            event_specific_data=StepMaterializationData(event),
        )
    return DagsterEvent(
        event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION.value, job_name=job_name, event_specific_data=event
    )


def _job_run(notification: Notification) -> JobRun | None:
    if notification.application_id is None:
        return None
    return JobRun(notification.application_id, notification.job_run_id)


def _reason(notification: Notification) -> str:
    known = [text for text in (notification.error, notification.cause) if text]
    return ": ".join(known)[:_LONGEST_CAUSE] or "no reason is known"
