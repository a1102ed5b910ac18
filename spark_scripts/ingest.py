"""Ingest tables: count, read and stage months, publish each month on its own."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DataLakeError, IngestionError, TryAgainError
from spark_scripts.contract.manifest import Column, Manifest
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.wording import counted
from spark_scripts.driver.reporter import Reporter
from spark_scripts.lake import spark_io
from spark_scripts.lake.publish import Publisher
from spark_scripts.lake.staging import Stage, Staged
from spark_scripts.locking.hold import Hold
from spark_scripts.locking.watch import Watch
from spark_scripts.postgres import sql
from spark_scripts.postgres.counts import Count, count
from spark_scripts.postgres.errors import REFUSED_LOGIN, ConnectionLostError, SourceChangedError, SourceError
from spark_scripts.postgres.projections import lossy_conditions
from spark_scripts.postgres.slicing import Slicing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.tables import Table
    from spark_scripts.glue.catalog import Catalog
    from spark_scripts.lake.bucket import Lake
    from spark_scripts.locking.advisory import Locks
    from spark_scripts.postgres.source import Source

BATCH_ROWS = 1_000_000
"""Months are read together up to so many rows: fewer Spark jobs, and still a backfill commits as it goes."""

ATTEMPTS = 3
"""How often a table is tried that others rewrite, or need, while the job reads it."""

PAUSE = 10.0
"""Seconds between two attempts at a table that somebody else needed."""


class TableIngestion:
    """The ingestion of one table in one execution.

    Raises InvalidInputError when the table's entry does not fit the table; nothing has been written then.
    """

    def __init__(
        self,
        spark: SparkSession,
        source: Source,
        locks: Locks,
        watch: Watch,
        reporter: Reporter,
        lake: Lake,
        table: Table,
        catalog: Optional[Catalog] = None,
    ) -> None:
        self._source = source
        self._lake = lake
        self._reporter = reporter
        self._table = table
        self._relation = source.relation(table, locks.connection)
        self._hold = Hold(source, locks.connection, watch, table, self._relation)
        self._date = self._relation.date
        self._cores = spark_io.cores(spark)
        self._slicing = Slicing(source.connection, table, self._relation, self._cores)
        self._stage = Stage(spark, source, lake, reporter, table, self._relation)
        self._publisher = Publisher(lake, locks)
        self._catalog = catalog
        self._published: list[str] = []
        self._counted = 0  # months, the rows without one among them

    def run(self, months: Optional[Sequence[Month]]) -> None:
        """Ingest `months` (all that the table or its raw layer has when None) and the rows without a month.

        Stops at the first month that fails; the months before it stay committed.
        """
        self._publisher.check_lock(self._table.name)
        with self._kept_catalog(), self._emptied_staging():
            counts = self._count(months)
            undated = counts.pop(UNDATED, Count(UNDATED, 0))
            wanted = self._every_month(counts) if months is None else months
            every = [undated, *(counts.get(month, Count(month, 0)) for month in wanted)]
            self._check_emptied(every)
            self._reporter.count(self._table.name, len(every), sum(each.rows for each in every))
            for batch in self._batches(every):
                self._ingest(batch, undated.rows, full=months is None)

    def _check_emptied(self, counts: Sequence[Count]) -> None:
        """Refuse to empty months of a table that, as a whole, reads as empty, unless its entry allows that.

        A table that is being loaded anew looks so; and so does one of which a policy or a view hides all.
        """
        if self._table.allow_empty or any(each.rows for each in counts) or not self._reads_as_empty():
            return
        current = {manifest.month: manifest.rows for manifest in self._lake.current_manifests(self._table.name)}
        had = {each.partition.key: current.get(each.partition.key, 0) for each in counts}
        lost = [f"{key} ({rows} rows)" for key, rows in had.items() if rows]
        if lost:
            raise IngestionError(
                f"{self._table.table} has no rows at all, and months of the raw layer have some: {', '.join(lost)}."
                " Nothing was published. If the table is empty indeed, set allow_empty: true in its entry"
            )

    def _reads_as_empty(self) -> bool:
        with self._hold.locked("TRUE"):
            return not self._source.connection.rows_of_user(sql.any_row(self._relation.name))

    @contextmanager
    def _kept_catalog(self) -> Iterator[None]:
        """At the end, also when a month has failed, bring the catalog to the months that are committed."""
        try:
            yield
        except DataLakeError as error:
            problem = self._catalog_problem()
            if problem:
                raise IngestionError(f"{error}; {problem}") from error
            raise
        problem = self._catalog_problem()
        if problem:
            raise IngestionError(problem)

    def _catalog_problem(self) -> str:
        """Bring the catalog to the months that are committed; say why when that fails."""
        if self._catalog is None:
            return ""
        try:
            self._catalog.keep(self._table.name, self._lake.current_manifests(self._table.name))
        except DataLakeError as error:
            published = ", ".join(self._published) or "no month"
            return f"published {published}, but {error} (the table's next run mends the catalog)"
        return ""

    @contextmanager
    def _emptied_staging(self) -> Iterator[None]:
        self._lake.delete_staging(self._table.name)  # what a killed execution left
        try:
            yield
        finally:
            self._lake.delete_staging(self._table.name)

    def _count(self, months: Optional[Sequence[Month]]) -> dict[Partition, Count]:
        """Count, and decide by the counts how to read."""
        condition = "TRUE" if months is None else sql.in_partitions(self._date, [*months, UNDATED])
        lossy = lossy_conditions(self._relation.columns, self._table.columns) if self._table.format != "csv" else {}
        by_block = self._relation.by_ctid and self._table.slice_by in (None, "ctid")
        with self._hold.locked(condition):
            self._relation = self._source.measured(self._relation)
            counts = count(self._source.connection, self._relation, condition, lossy, blocks=by_block)
            self._counted = len(counts)
            if counts:
                self._slicing = Slicing(self._source.connection, self._table, self._relation, self._cores)
                self._slicing.decide(list(counts.values()), condition, full=months is None)
                self._reporter.say(f"{self._table.name}: slices by {self._slicing.by}: {self._slicing.reason}")
        return counts

    def _every_month(self, counts: Collection[Partition]) -> list[Month]:
        """The counted months and those of the raw layer: one that the source has no more is to become empty."""
        name = self._table.name
        manifests = self._lake.files(layout.current_manifests_prefix(name))
        published = {layout.partition_of_current_manifest(name, manifest.key) for manifest in manifests}
        return sorted(partition for partition in published.union(counts) if isinstance(partition, Month))

    def _batches(self, counts: Sequence[Count]) -> Iterator[list[Count]]:
        """The months to read at once: all in one pass, or, where slices by date serve, BATCH_ROWS at a time.

        In Parquet the columns depend on `lossy`, so months that differ in it are apart.
        """
        limit = BATCH_ROWS if self._slicing.by == "date" else sum(each.rows for each in counts)
        alike: dict[tuple[str, ...], list[Count]] = {}
        for each in counts:
            alike.setdefault(each.lossy, []).append(each)
        for group in alike.values():
            batch: list[Count] = []
            for each in group:
                if batch and sum(one.rows for one in batch) + each.rows > limit:
                    yield batch
                    batch = []
                batch.append(each)
            yield batch

    def _ingest(self, batch: Sequence[Count], undated: int, full: bool) -> None:
        """Stage the months of `batch` together, then publish one after the other."""
        started = datetime.now(timezone.utc)
        try:
            staged = self._staged([each for each in batch if each.rows], full)
        except (TryAgainError, ConnectionLostError):
            raise
        except DataLakeError as error:
            if full or len(batch) == 1:
                raise
            self._reporter.say(f"{error}; now month by month, which keeps the months before the one that fails")
            for each in batch:
                self._ingest([each], undated, full)
            return
        for each in batch:
            self._publish(each, staged.get(each.partition, Staged()), undated, started)

    def _staged(self, counts: Sequence[Count], full: bool) -> dict[Partition, Staged]:
        if not counts:
            return {}
        slices, condition = self._slicing.slices(counts), self._condition(counts, full)
        try:
            with self._hold.locked("TRUE" if full else self._requested(counts)):
                staged = self._stage.write(counts, condition, self._slicing.column, slices)
        except SourceError as error:
            if error.state not in REFUSED_LOGIN or not self._source.read_secret_again():
                raise
            self._reporter.say(f"{self._table.name}: the secret has changed, reading with its new values")
            return self._staged(counts, full)
        return {each.partition: found for each, found in zip(counts, staged)}

    def _condition(self, counts: Sequence[Count], full: bool) -> str:
        """The condition of the rows of these months, which slices by date imply; a snapshot has no months but those."""
        every = full and len(counts) == self._counted and self._source.snapshot is not None
        if every or self._slicing.by == "date":
            return "TRUE"
        if full:
            return sql.of_days(self._date, [each.day for each in counts])
        return self._requested(counts)

    def _requested(self, counts: Sequence[Count]) -> str:
        return sql.in_partitions(self._date, [each.partition for each in counts])

    def _publish(self, each: Count, staged: Staged, undated: int, started: datetime) -> None:
        manifest = Manifest(
            table=self._table.name,
            month=each.partition.key,
            execution=self._source.execution,
            rows=staged.rows,
            source_rows=each.rows,
            undated_rows=undated,
            bytes=sum(file.bytes for file in staged.files),
            files=staged.files,
            columns=tuple(Column(column.name, column.type, column.comment) for column in self._relation.columns),
            format=self._table.format,
            date_column=self._date.name,
            min_date=None if each.partition == UNDATED else each.min_date,
            max_date=None if each.partition == UNDATED else each.max_date,
            snapshot=self._source.snapshot,
            seconds=0,
            started=started.isoformat(timespec="milliseconds"),
            finished="",
            file_columns=staged.columns,
            row_security=self._table.row_security,
            table_comment=self._relation.comment,
            table_bytes=self._relation.bytes,
            table_rows=self._relation.rows,
        )
        manifest = self._publisher.publish(manifest)
        self._published.append(manifest.month)
        self._reporter.committed(manifest.rows)
        print(
            f"{manifest.table} {manifest.month}: {counted(manifest.rows, 'row')} in"
            f" {counted(len(manifest.files), 'file')}, {counted(manifest.bytes, 'byte')}, {manifest.seconds:.1f} s",
            flush=True,
        )


@dataclass(frozen=True)
class _Attempt:
    """An attempt at a table, not to be made before this moment of the monotonic clock."""

    request: TableRequest
    number: int = 1
    not_before: float = 0.0

    @property
    def name(self) -> str:
        return self.request.table.name

    def next(self, pause: float) -> _Attempt:
        return _Attempt(self.request, self.number + 1, time.monotonic() + pause)


def ingest(
    spark: SparkSession,
    source: Source,
    locks: Locks,
    lake: Lake,
    requests: Sequence[TableRequest],
    catalog: Optional[Catalog] = None,
) -> None:
    """Ingest every table that is asked for; one that fails does not stop the others.

    `locks` hold the key of each table, or were refused it. `catalog` is updated where there is one. A table that was
    rewritten meanwhile is read again at once, one that somebody else needed after the others, each under a new
    snapshot. Raises IngestionError at the end, naming each table that failed with the reason.
    """
    failures = {}
    waiting = deque(_Attempt(request) for request in requests)
    with (
        Reporter(spark, lake.write, source.execution) as reporter,
        Watch(spark, locks.connection, source.connection, source.execution, reporter) as watch,
    ):
        while waiting:
            attempt = waiting.popleft()
            try:
                _make(attempt, spark, source, locks, watch, reporter, lake, catalog)
            except TryAgainError as error:
                reporter.say(f"{attempt.name}: attempt {attempt.number} of {ATTEMPTS}: {error}")
                if attempt.number == ATTEMPTS:
                    failures[attempt.name] = str(error)
                elif isinstance(error, SourceChangedError):
                    waiting.appendleft(attempt.next(pause=0))
                else:
                    waiting.append(attempt.next(PAUSE))
            except Exception as error:  # a fault of our own must not end the other tables either
                failures[attempt.name] = str(watch.failure or _one_line(error))
                reporter.say(f"{attempt.name} failed: {failures[attempt.name]}")
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise IngestionError(f"{len(failures)} of {counted(len(requests), 'table')} failed: {reasons}")


def _make(
    attempt: _Attempt,
    spark: SparkSession,
    source: Source,
    locks: Locks,
    watch: Watch,
    reporter: Reporter,
    lake: Lake,
    catalog: Optional[Catalog],
) -> None:
    if watch.failure:
        raise watch.failure
    time.sleep(max(0.0, attempt.not_before - time.monotonic()))
    if attempt.number > 1:
        source.renew()
    table = attempt.request.table
    TableIngestion(spark, source, locks, watch, reporter, lake, table, catalog).run(attempt.request.months)


def _one_line(error: Exception) -> str:
    """The message; for what is no error of the ingestion also the traceback, in the log."""
    if isinstance(error, DataLakeError):
        return str(error)
    traceback.print_exception(type(error), error, error.__traceback__)
    return " ".join(f"{type(error).__name__}: {error}".split())
