"""The ingestion of one table in one execution."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract.content import Content
from spark_scripts.contract.errors import DataLakeError, TryAgainError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.wording import counted
from spark_scripts.ingestion.catalog_update import catalog_updated
from spark_scripts.ingestion.changes import PublishedTable, changed_counts
from spark_scripts.ingestion.columns import manifest_columns
from spark_scripts.ingestion.emptied import check_not_emptied
from spark_scripts.ingestion.reading import Reading, batches
from spark_scripts.ingestion.states import States, month_states
from spark_scripts.ingestion.summary import Outcome
from spark_scripts.ingestion.survey import Survey, narrowed, survey
from spark_scripts.lake.current import CurrentManifests, FilesBefore
from spark_scripts.lake.publish import Publisher
from spark_scripts.lake.staging import Stage, Staged
from spark_scripts.locking.hold import Hold
from spark_scripts.postgres import small_tables
from spark_scripts.postgres.errors import ConnectionLostError
from spark_scripts.postgres.server_identity import NoStateError

if TYPE_CHECKING:
    from spark_scripts.contract.months import Partition
    from spark_scripts.contract.request import TableRequest
    from spark_scripts.contract.source_state import SourceState
    from spark_scripts.contract.tables import Table
    from spark_scripts.ingestion.context import JobContext
    from spark_scripts.postgres.counts import Count


class TableIngestion:
    """The ingestion of one table in one execution.

    Raises InvalidInputError when the table's entry does not fit the table; nothing has been written then.
    """

    def __init__(self, job: JobContext, table: Table) -> None:
        self._job = job
        self._table = table
        self._relation = job.source.relation(table, job.locks.connection)
        self._hold = Hold(job.source, job.locks.connection, job.watch, table, self._relation)
        self._stage = Stage(job.spark, job.source, job.lake, job.reporter, table, self._relation)
        self._current = CurrentManifests(job.lake, table.name)
        self._before = FilesBefore(job.lake, table.name)
        self._publisher = Publisher(job.lake, job.locks, self._before)
        self._published: list[str] = []
        self._states = States()

    def run(self, request: TableRequest) -> None:
        """Ingest the months of `request` (all that the table or its raw layer has when None) and the undated rows.

        A refresh leaves out those that have not changed. Stops at the first month that fails; the months before it
        stay committed.
        """
        job, table = self._job, self._table
        self._publisher.check_lock(table.name)
        if request.refresh:
            self._before.begin()  # while PostgreSQL counts
        if request.dry_run:
            _, counts = self._counted(request)
            self._changed(counts, dry_run=True)
            return
        with catalog_updated(job, table.name, self._current, self._published):
            found, counts = self._counted(request)
            check_not_emptied(job, table, self._relation, self._hold, self._current, counts)
            if request.refresh:
                counts = self._changed(counts, dry_run=False)
                found = narrowed(job, table, self._hold, found, counts)
            else:
                job.outcomes[table.name] = _outcome(counts)
            self._ingest_all(counts, found)

    def _counted(self, request: TableRequest) -> tuple[Survey, list[Count]]:
        """The survey of the table, and the counts of the partitions that are asked for; their states are read."""
        found = survey(self._job, self._table, self._relation, self._hold, request.months)
        months = self._every_month(found) if request.months is None else request.months
        counts = [found.count(partition) for partition in (UNDATED, *months)]
        self._states = month_states(self._job.source, found.relation, found.state, counts)
        if self._states.reason:
            print(f"{self._table.name}: months have no state of the source: {self._states.reason}", flush=True)
        return found, counts

    def _changed(self, counts: Sequence[Count], *, dry_run: bool) -> list[Count]:
        published = PublishedTable(self._job.lake, self._current, self._before)
        return changed_counts(self._job, self._table, published, self._states, counts, dry_run=dry_run)

    def _ingest_all(self, counts: Sequence[Count], found: Survey) -> None:
        rows = sum(each.rows for each in counts)
        self._job.reporter.count(self._table.name, sum(each.partition != UNDATED for each in counts), rows)
        if rows:
            few = small_tables.fit(self._table, found.relation, counts)
            how = (
                "few rows, which the driver reads itself" if few else f"slices by {found.plan.by}: {found.plan.reason}"
            )
            self._job.reporter.say(f"{self._table.name}: {how}")
        reading = Reading(self._job, self._table, self._hold, self._stage, found)
        for batch in batches(counts, found):
            self._ingest(batch, reading, found)

    def _every_month(self, found: Survey) -> list[Month]:
        """The months of the source and of the raw layer: a month that the source no longer has becomes empty."""
        partitions = self._current.partitions().union(found.counts)
        return sorted(partition for partition in partitions if isinstance(partition, Month))

    def _state(self, partition: Partition) -> Optional[SourceState]:
        """The state to record, which must be durable."""
        self._job.source.wait_durable()
        durable = not isinstance(self._job.source.server, NoStateError)
        return self._states.of(partition) if durable else None

    def _ingest(self, batch: Sequence[Count], reading: Reading, found: Survey) -> None:
        """Stage the months of `batch` together, then publish one after the other."""
        started = datetime.now(timezone.utc)
        try:
            staged = reading.staged(batch)
        except (TryAgainError, ConnectionLostError):
            raise
        except DataLakeError as error:
            if found.full or len(batch) == 1:
                raise
            self._job.reporter.say(f"{error}; now month by month, to keep the months before the one that fails")
            for each in batch:
                self._ingest([each], reading, found)
            return
        for each in batch:
            self._publish(each, staged.get(each.partition, Staged()), found, started)

    def _publish(self, each: Count, staged: Staged, found: Survey, started: datetime) -> None:
        manifest = self._publisher.publish(self._manifest(each, staged, found, started), staged.text)
        self._current.committed(manifest)
        self._published.append(manifest.month)
        self._job.reporter.committed(manifest.table, months=int(each.partition != UNDATED), rows=manifest.rows)
        print(
            f"{manifest.table} {manifest.month}: {counted(manifest.rows, 'row')} in"
            f" {counted(len(manifest.files), 'file')}, {counted(manifest.bytes, 'byte')}, {manifest.seconds:.1f} s",
            flush=True,
        )

    def _manifest(self, each: Count, staged: Staged, found: Survey, started: datetime) -> Manifest:
        """The manifest of a partition whose files are in staging."""
        source, relation = self._job.source, found.relation
        return Manifest(
            table=self._table.name,
            month=each.partition.key,
            execution=source.execution,
            rows=staged.rows,
            source_rows=each.rows,
            undated_rows=found.count(UNDATED).rows,
            bytes=sum(file.bytes for file in staged.files),
            files=staged.files,
            columns=manifest_columns(self._table, relation),
            format=self._table.format,
            date_column=relation.date.name,
            min_date=None if each.partition == UNDATED else each.min_date,
            max_date=None if each.partition == UNDATED else each.max_date,
            snapshot=source.snapshot,
            seconds=0,
            started=started.isoformat(timespec="milliseconds"),
            finished="",
            file_columns=staged.columns,
            row_security=self._table.row_security,
            table_comment=relation.comment,
            table_bytes=relation.bytes,
            table_rows=relation.rows,
            source_state=self._state(each.partition),
            left_out=relation.left_out,
            content=staged.content or str(Content(self._table.format)),
        )


def _outcome(counts: Sequence[Count]) -> Outcome:
    """What an ingestion of these partitions does, whether they have changed or not."""
    months = sum(each.partition != UNDATED for each in counts)
    return Outcome(f"{counted(months, 'month')} with {counted(sum(each.rows for each in counts), 'row')}")
