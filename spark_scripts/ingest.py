"""Ingest tables: count, read and stage months, publish each month on its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Optional

from spark_scripts import files, layout, sql
from spark_scripts.counts import Count, count
from spark_scripts.errors import IngestionError
from spark_scripts.manifest import Column, Manifest
from spark_scripts.months import Month
from spark_scripts.projections import lossy_conditions
from spark_scripts.publish import Publisher
from spark_scripts.slicing import Slicing
from spark_scripts.staging import Stage, Staged
from spark_scripts.wording import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.catalog import Catalog
    from spark_scripts.lake import Lake
    from spark_scripts.locks import Locks
    from spark_scripts.request import TableRequest
    from spark_scripts.source import Source
    from spark_scripts.tables import Table

BATCH_ROWS = 1_000_000
"""Months are read together up to so many rows: fewer Spark jobs, and still a backfill commits as it goes."""


class TableIngestion:
    """The ingestion of one table in one execution.

    Raises InvalidInputError when the table's entry does not fit the table; nothing has been written then.
    """

    def __init__(
        self,
        spark: SparkSession,
        source: Source,
        locks: Locks,
        lake: Lake,
        table: Table,
        catalog: Optional[Catalog] = None,
    ) -> None:
        self._source = source
        self._lake = lake
        self._table = table
        self._relation = source.relation(table)
        self._date = self._relation.date
        self._slicing = Slicing(source.connection, table, self._relation, files.cores(spark))
        self._stage = Stage(spark, source, lake, table, self._relation)
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
            undated = counts.pop(None, Count(None, 0))
            wanted = self._every_month(counts) if months is None else months
            every = [undated, *(counts.get(month, Count(month, 0)) for month in wanted)]
            for batch in self._batches(every):
                self._ingest(batch, undated.rows, full=months is None)

    @contextmanager
    def _kept_catalog(self) -> Iterator[None]:
        """At the end, also when a month has failed, bring the catalog to the months that are committed."""
        failures = []
        try:
            yield
        except IngestionError as error:
            if self._catalog is None:
                raise
            failures.append(str(error))
        if self._catalog is None:
            return
        try:
            self._catalog.keep(self._table.name, self._lake.current_manifests(self._table.name))
        except IngestionError as error:
            published = ", ".join(self._published) or "no month"
            failures.append(f"published {published}, but {error} (the table's next run mends the catalog)")
        if failures:
            raise IngestionError("; ".join(failures))

    @contextmanager
    def _emptied_staging(self) -> Iterator[None]:
        self._lake.delete_staging(self._table.name)  # what a killed execution left
        try:
            yield
        finally:
            self._lake.delete_staging(self._table.name)

    def _count(self, months: Optional[Sequence[Month]]) -> dict[Optional[Month], Count]:
        """Count, and decide by the counts how to read."""
        condition = "TRUE" if months is None else sql.requested(self._date, months, undated=True)
        lossy = lossy_conditions(self._relation.columns, self._table.columns) if self._table.format != "csv" else {}
        counts = count(self._source.connection, self._relation, condition, lossy)
        self._counted = len(counts)
        if counts:
            self._slicing.decide(list(counts.values()), condition, full=months is None)
            print(f"{self._table.name}: slices by {self._slicing.by}: {self._slicing.reason}", flush=True)
        return counts

    def _every_month(self, counts: Collection[Optional[Month]]) -> list[Month]:
        """The counted months and those of the raw layer: one that the source has no more is to become empty."""
        prefix = layout.current_manifests_prefix(self._table.name)
        labels = {file.key[len(prefix) : -len(".json")] for file in self._lake.files(prefix)}
        published = {Month.of_label(label) for label in labels - {layout.UNDATED}}
        return sorted(published | {month for month in counts if month})

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
        except IngestionError as error:
            if full or len(batch) == 1:
                raise
            print(f"{error}; now month by month, which keeps the months before the one that fails", flush=True)
            for each in batch:
                self._ingest([each], undated, full)
            return
        for each in batch:
            self._publish(each, staged.get(each.month, Staged()), undated, started)

    def _staged(self, counts: Sequence[Count], full: bool) -> dict[Optional[Month], Staged]:
        if not counts:
            return {}
        slices = self._slicing.slices(counts)
        staged = self._stage.write(counts, self._condition(counts, full), self._slicing.column, slices)
        return {each.month: found for each, found in zip(counts, staged)}

    def _condition(self, counts: Sequence[Count], full: bool) -> str:
        """The condition of the rows of these months, which slices by date imply; a snapshot has no months but those."""
        every = full and len(counts) == self._counted and self._source.snapshot is not None
        if every or self._slicing.by == "date":
            return "TRUE"
        if full:
            return f"{self._date.month_day} IN ({', '.join(str(each.day) for each in counts)})"
        months = [each.month for each in counts if each.month is not None]
        return sql.requested(self._date, months, undated=len(months) < len(counts))

    def _publish(self, each: Count, staged: Staged, undated: int, started: datetime) -> None:
        manifest = Manifest(
            table=self._table.name,
            month=layout.month_label(each.month),
            execution=self._source.execution,
            rows=staged.rows,
            source_rows=each.rows,
            undated_rows=undated,
            bytes=sum(file.bytes for file in staged.files),
            files=staged.files,
            columns=tuple(Column(column.name, column.type, column.comment) for column in self._relation.columns),
            format=self._table.format,
            date_column=self._date.name,
            min_date=None if each.month is None else each.min_date,
            max_date=None if each.month is None else each.max_date,
            snapshot=self._source.snapshot,
            seconds=0,
            started=started.isoformat(timespec="milliseconds"),
            finished="",
            file_columns=staged.columns,
        )
        manifest = self._publisher.publish(manifest, each.month)
        self._published.append(manifest.month)
        print(
            f"{manifest.table} {manifest.month}: {counted(manifest.rows, 'row')} in"
            f" {counted(len(manifest.files), 'file')}, {counted(manifest.bytes, 'byte')}, {manifest.seconds:.1f} s",
            flush=True,
        )


def ingest(
    spark: SparkSession,
    source: Source,
    locks: Locks,
    lake: Lake,
    requests: Sequence[TableRequest],
    catalog: Optional[Catalog] = None,
) -> None:
    """Ingest every table that is asked for; one that fails does not stop the others.

    `locks` hold the key of each table, or were refused it. `catalog` is kept where there is one. Raises IngestionError
    at the end, naming each table that failed with the reason.
    """
    failures = {}
    for request in requests:
        name = request.table.name
        try:
            with source.connection.savepoint():
                TableIngestion(spark, source, locks, lake, request.table, catalog).run(request.months)
        except IngestionError as error:
            print(f"{name} failed: {error}", flush=True)
            failures[name] = str(error)
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise IngestionError(f"{len(failures)} of {counted(len(requests), 'table')} failed: {reasons}")
