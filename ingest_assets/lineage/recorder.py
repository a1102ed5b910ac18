"""Record executions that no Dagster run followed to the end in the event log: each month once, with its checks.

If a Dagster run started the execution and died or was terminated, the missing events are added to that run. Any other
execution gets runs of its own, one for each table and range of adjacent months, with the times of the execution and ids
made from its ARN. What a refresh found of a table is one observation, and the result of a check; they belong to no run
then, because unchanged months are in none.

There is no cursor: the event log itself says whether a month of an execution has been recorded. Messages that arrive
twice, ticks that are replayed after a crash, and previews of a tick in the UI therefore neither double nor lose events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from botocore.exceptions import ClientError

from ingest_assets._compat import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.executions import Execution, describe, shortened
from ingest_assets.aws.job_runs import ExecutionJob
from ingest_assets.aws.messages import Notification
from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.checks.specs import CHECKS, EXECUTION_SUCCEEDED
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.lineage.month_log import Failure, MonthLog
from ingest_assets.lineage.recorded_runs import Outcome, RecordedRun, RecordedRuns
from ingest_assets.lineage.refresh_log import check_up_to_date, has_check, observe
from ingest_assets.metadata import IngestedMonth, Metadata, execution_metadata, month_metadata
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.tables import TableSpec
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.request import resolve
from spark_scripts.contract.wording import adjacent


def last_run(instance: dg.DagsterInstance, run_id: str | None) -> dg.DagsterRun | None:
    """The run with this id, or the last of its automatic retries; None where Dagster does not have it."""
    run = instance.get_run_by_id(run_id) if run_id else None
    while run is not None and (retry := run.tags.get(AUTO_RETRY_RUN_ID_TAG)) is not None:
        run = instance.get_run_by_id(retry)
    return run


def is_being_recorded(run: dg.DagsterRun | None) -> bool:
    """Whether the run that started an execution, or an automatic retry of it, will still record the months."""
    return run is not None and (not run.is_finished or run.tags.get(WILL_RETRY_TAG) == "true")


@dataclass(frozen=True)
class Recorded:
    """The months of a table that have now been recorded for an execution, ingested or `failed`.

    `failed` is [""] for every month of the table. `found` sums up what a refresh found; it is empty for others.
    """

    table: str
    ingested: list[str]
    failed: list[str]
    found: str = ""


@dataclass(frozen=True)
class _Work:
    """Months of a table that belong in one run. `wanted` should have been ingested and were not; None means all.

    `found` is what the execution found of the table as a refresh.
    """

    table: str
    ingested: list[str]
    wanted: list[str | None]
    found: Refresh | None = None


class Recorder:
    """Adds what the event log of `instance` lacks about executions."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        tables: Mapping[str, TableSpec],
        raw_layer: RawLayer,
        account: AwsAccount,
        runs: RecordedRuns,
    ) -> None:
        self._instance = instance
        self._tables = tables
        self._raw_layer = raw_layer
        self._account = account
        self._runs = runs
        self._log = EventLog(instance)
        self.unknown: list[str] = []
        """Tables and months in the queue's executions that tables.yaml does not know."""

    def record(self, notification: Notification, run: dg.DagsterRun | None) -> list[Recorded]:
        """Record what is missing for an execution that has ended. `run` is the last Dagster run that followed it.

        Raises AwsError when the bucket or Step Functions cannot be read.
        """
        recorded = []
        for work in self._works(notification):
            if run is not None:
                recorded.append(self._into(run, work, notification))
            else:
                recorded += [self._into_its_own(part, notification) for part in _parts(work)]
            recorded.append(Recorded(work.table, [], [], self._record_found(run, work, notification)))
        return [each for each in recorded if each.ingested or each.failed or each.found]

    def _works(self, notification: Notification) -> list[_Work]:
        """What the execution ingested, should have ingested, and found as a refresh, by table."""
        ingested = self._known_months(notification)
        found = self._found(notification)
        wanted = list(self._wanted(notification, found)) if notification.status != "SUCCEEDED" else []
        return [
            _Work(
                table,
                [month for of, month in ingested if of == table],
                [month for of, month in wanted if of == table and (of, month) not in ingested],
                found.get(table),
            )
            for table in dict.fromkeys([*(of for of, _ in ingested), *(of for of, _ in wanted), *found])
        ]

    def _found(self, notification: Notification) -> dict[str, Refresh]:
        """What the execution found as a refresh of the tables that tables.yaml has."""
        if not _asks_for(notification, "refresh"):
            return {}
        found = self._raw_layer.refreshes_by(notification.execution_name)
        return {table: each for table, each in found.items() if table in self._tables}

    def _wanted(self, notification: Notification, found: Mapping[str, Refresh]) -> Iterator[tuple[str, str | None]]:
        """The months that a failed execution should have ingested: of a refresh those that had changed.

        They are unknown where it failed before it had counted; None stands for them then. A dry run ingests none.
        """
        requested = list(self._requested(notification.request))
        if not _asks_for(notification, "refresh"):
            yield from requested
            return
        for table in dict.fromkeys([*found, *(table for table, _ in requested)]):
            if table not in found and not _asks_for(notification, "dry_run"):
                yield table, None
            months = found[table].to_ingest() if table in found else []
            partitions = monthly_partitions(self._tables[table])
            yield from ((table, month) for month in months if partitions.has_partition_key(month))

    def _known_months(self, notification: Notification) -> list[tuple[str, str]]:
        known = []
        for table, month in self._raw_layer.ingested_by(notification.execution_name):
            spec = self._tables.get(table)
            if spec is None or not monthly_partitions(spec).has_partition_key(month):
                self.unknown.append(f"{table} {month}")
            else:
                known.append((table, month))
        return known

    def _into(self, run: dg.DagsterRun, work: _Work, notification: Notification) -> Recorded:
        """Add to the run that started the execution what the run has not logged itself."""
        failure = None if run.status == dg.DagsterRunStatus.CANCELED else self._failure(notification)
        target = RecordedRun(self._instance, run, work.table)
        ingested = self._record_ingested(target, work, notification)
        self._record_source(target, work, notification)
        left = self._record_left(target, work, failure)
        return Recorded(work.table, ingested, left if failure else [])

    def _into_its_own(self, work: _Work, notification: Notification) -> Recorded:
        """Add to a run that is made for the execution, unless nothing is missing."""
        run = self._runs.find(notification.execution_arn, work.table, [*work.ingested, *work.wanted])
        if run is None and not self._is_missing(work, notification):
            return Recorded(work.table, [], [])
        outcome = self._outcome(work, notification)
        run = run or self._runs.add(outcome)
        run.start(outcome)
        ingested = self._record_ingested(run, work, notification)
        self._record_source(run, work, notification)
        failed = self._record_left(run, work, outcome.failure)
        run.end(outcome)
        return Recorded(work.table, ingested, failed)

    def _is_missing(self, work: _Work, notification: Notification) -> bool:
        check, execution = dg.AssetCheckKey(raw_layer_key(work.table), EXECUTION_SUCCEEDED), notification.execution_name
        return any(self._lacks(work.table, month, execution) for month in work.ingested) or any(
            not self._log.has_check(check, month, execution) for month in work.wanted
        )

    def _record_ingested(self, run: RecordedRun, work: _Work, notification: Notification) -> list[str]:
        months = [month for month in work.ingested if self._lacks(work.table, month, notification.execution_name)]
        for month in months:
            self._month(run, work.table, month, notification)
        return months

    def _record_source(self, run: RecordedRun, work: _Work, notification: Notification) -> None:
        """Record what the execution found of the table in PostgreSQL, unless a later execution has ingested it since.

        Every execution rewrites the manifest of the rows without a month, so that it names the last one. A refresh may
        leave it, and rewrites the manifests of its months only.
        """
        manifest = self._raw_layer.undated(work.table) if work.ingested else None
        if work.ingested and _asks_for(notification, "refresh"):
            manifest = self._raw_layer.current(work.table, work.ingested[-1])
        if manifest is not None and manifest.execution == notification.execution_name:
            self._month_log(run, work.table, []).observe_source(manifest)

    def _record_found(self, run: dg.DagsterRun | None, work: _Work, notification: Notification) -> str:
        """Record what a refresh found of the table, and whether the table is up to date after the execution.

        Returns the refresh's findings in a line if they are new.
        """
        report = self._instance.report_runless_asset_event
        sink = RecordedRun(self._instance, run, work.table).log if run else report
        log = MonthLog(self._log, self._raw_layer, self._tables[work.table], sink, [])
        new = work.found is not None and observe(log, work.found, self._links(notification))
        if new and work.found and work.found.skipped is None and not work.wanted:
            log.succeed(notification.execution_name)
        if work.ingested or (work.found and work.found.skipped is None):
            new = self._record_up_to_date(log, notification.execution_name) or new
        return work.found.summary() if work.found and new else ""

    def _record_up_to_date(self, log: MonthLog, execution: str) -> bool:
        """Record the check of the table once for an execution, if a refresh has ever looked at it."""
        if has_check(log, execution) or self._raw_layer.findings(log.table.name) is None:
            return False
        check_up_to_date(log, execution)
        return True

    def _record_left(self, run: RecordedRun, work: _Work, failure: Failure | None) -> list[str]:
        """Record the months that were not ingested and for which the run lacks a check; return them."""
        evaluated = self._log.checked_in(run.run.run_id)
        left = []
        for month in work.wanted:
            checks = [check for check in CHECKS if (check, month) not in evaluated]
            log = self._month_log(run, work.table, checks)
            if month is None and failure is not None and EXECUTION_SUCCEEDED in checks:
                log.fail(None, failure)
                left.append("")
            elif month is not None and checks:
                log.leave(month, failure)
                left.append(month)
        return left

    def _lacks(self, table: str, month: str, execution: str) -> bool:
        asset = raw_layer_key(table)
        if not self._log.has_materialization(asset, month, execution):
            return True
        return not all(self._log.has_check(dg.AssetCheckKey(asset, check), month, execution) for check in CHECKS)

    def _month(self, run: RecordedRun, table: str, month: str, notification: Notification) -> None:
        """Record the materialisation and the checks of a month that the event log lacks."""
        execution = notification.execution_name
        manifest = self._raw_layer.left_by(table, [month], execution)[month]
        metadata = month_metadata(
            manifest,
            bucket=self._raw_layer.bucket_name(),
            execution_arn=notification.execution_arn,
            job_run=_job_run(notification),
        )
        keys = {check: dg.AssetCheckKey(raw_layer_key(table), check) for check in CHECKS}
        missing = [check for check, key in keys.items() if not self._log.has_check(key, month, execution)]
        log = self._month_log(run, table, missing)
        log.materialize([IngestedMonth(manifest, metadata)])
        log.check(manifest)

    def _links(self, notification: Notification) -> Metadata:
        return execution_metadata(
            notification.execution_arn, bucket=self._raw_layer.bucket_name(), job_run=_job_run(notification)
        )

    def _month_log(self, run: RecordedRun, table: str, checks: list[str]) -> MonthLog:
        return MonthLog(self._log, self._raw_layer, self._tables[table], run.log, checks)

    def _failure(self, notification: Notification, at: datetime | None = None) -> Failure:
        reason = f"Execution {notification.execution_name} is {notification.status}: {_reason(notification)}"
        return Failure(reason, notification.execution_name, self._links(notification), at)

    def _outcome(self, work: _Work, notification: Notification) -> Outcome:
        started, stopped = self._times(work, notification)
        return Outcome(
            table=work.table,
            months=[*work.ingested, *work.wanted],
            execution_arn=notification.execution_arn,
            started=(started or datetime.now(UTC)).timestamp(),
            stopped=(stopped or datetime.now(UTC)).timestamp(),
            failure=self._failure(notification, stopped) if work.wanted else None,
            aborted=notification.status == "ABORTED",
        )

    def _times(self, work: _Work, notification: Notification) -> tuple[datetime | None, datetime | None]:
        """Start and end of the execution, or else of the months that it ingested; None if neither is known."""
        if execution := self._described(notification):
            return execution.started, execution.stopped
        manifests = self._raw_layer.left_by(work.table, work.ingested, notification.execution_name).values()
        times = sorted(time for manifest in manifests for time in (manifest.started, manifest.finished))
        return (datetime.fromisoformat(times[0]), datetime.fromisoformat(times[-1])) if times else (None, None)

    def _described(self, notification: Notification) -> Execution | None:
        """The execution; None if Step Functions has forgotten it or denies access."""
        with aws_errors(f"describing execution {notification.execution_name}"):
            try:
                return describe(self._account.step_functions(), notification.execution_arn)
            except ClientError:
                return None

    def _requested(self, request: object) -> Iterator[tuple[str, str | None]]:
        """The tables and months that an execution was asked for; None stands for every month of the table."""
        tables = {name: spec.to_table() for name, spec in self._tables.items()}
        try:
            resolved = resolve(request, tables, datetime.now(UTC))
        except InvalidInputError:  # Dagster has no such table or month
            return
        for wanted in resolved:
            if wanted.months is None:
                yield wanted.table.name, None
            for month in wanted.months or ():
                yield wanted.table.name, str(month)


def _parts(work: _Work) -> Iterator[_Work]:
    """Split the work into ranges of adjacent months, because a Dagster run can name one range."""
    months = {month for month in [*work.ingested, *work.wanted] if month is not None}
    for part in adjacent(months):
        ingested = [month for month in work.ingested if month in part]
        yield _Work(work.table, ingested, [month for month in work.wanted if month in part])
    if None in work.wanted:
        yield _Work(work.table, [], [None])


def _asks_for(notification: Notification, what: str) -> bool:
    """Whether the execution's input has `refresh` or `dry_run`."""
    return isinstance(notification.request, Mapping) and notification.request.get(what) is True


def _job_run(notification: Notification) -> ExecutionJob | None:
    if notification.application_id is None:
        return None
    return ExecutionJob(notification.application_id, notification.job_run_id)


def _reason(notification: Notification) -> str:
    known = [text for text in (notification.error, notification.cause) if text]
    return shortened(": ".join(known)) or "no reason is known"
