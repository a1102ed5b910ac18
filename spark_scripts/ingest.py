"""Ingest one table: month by month, each committed on its own.

A month's files are written to staging, moved into the month's folder under names that carry the execution, and
committed by writing the manifest; then whatever the manifest does not list is deleted. A crash at any point leaves
the old month or the new one complete under its current manifest, and the next run of the month cleans up.
Readers of the bare folder may see old and new files together for a moment, and after a crash until that next run;
readers of the manifest never do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from spark_scripts import files, layout, sql
from spark_scripts.errors import IngestionError, InvalidInputError
from spark_scripts.jvm import JAVA_ERRORS, java_text
from spark_scripts.manifest import Column, File, Manifest
from spark_scripts.months import Month
from spark_scripts.source import Source, date_column, relation

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.lake import Lake
    from spark_scripts.locks import Locks
    from spark_scripts.request import TableRequest
    from spark_scripts.tables import Table

ROWS_PER_SLICE = 100_000
MAX_SLICES = 64

_TASK_FAILURE = re.compile(r"most recent failure: .*?\(executor [^)]*\)\): (.*)|\(\S+ executor \S+\): (.*)")


class RowCountError(IngestionError):
    """Spark wrote another number of rows than the source counted in the same snapshot."""


@dataclass(frozen=True)
class Count:
    """What the source counted for a month: its rows, and the date column's extremes as text.

    `lossy` are the columns with values that the Spark type of the column does not have.
    """

    rows: int
    min_date: Optional[str] = None
    max_date: Optional[str] = None
    lossy: tuple[str, ...] = ()


class TableIngestion:
    """The ingestion of one table in one execution.

    Raises InvalidInputError when the table's entry does not fit the table; nothing has been written then.
    """

    def __init__(self, spark: SparkSession, source: Source, locks: Locks, lake: Lake, table: Table) -> None:
        self._spark = spark
        self._source = source
        self._locks = locks
        self._lake = lake
        self._table = table
        self._relation = relation(table.table)
        self._columns = source.columns(table.table)
        self._date = date_column(self._columns, table.date_column, table.table, table.timezone)
        unknown = sorted(set(table.columns) - {column.name for column in self._columns})
        if unknown:
            raise InvalidInputError(f"table {table.name}: no column {', '.join(unknown)} to clean: mend tables.yaml")
        self._projections(())
        typed = table.format != "csv"
        self._lossy = sql.lossy_conditions(self._columns, table.columns) if typed else {}

    def run(self, months: Optional[Sequence[Month]]) -> None:
        """Ingest `months` (all that the table or its raw layer has when None) and the rows without a month.

        Stops at the first month that fails; the months before it stay committed.
        """
        self._check_lock()
        with self._staging():
            counts = self._count(months)
            undated = self._count_undated()
            self._ingest(None, undated, undated.rows)
            for month in sorted({*counts, *self._published()}) if months is None else months:
                self._ingest(month, counts.get(month, Count(0)), undated.rows)

    def _check_lock(self) -> None:
        self._locks.check(lock_key(self._lake.bucket, self._table))

    @contextmanager
    def _staging(self) -> Iterator[None]:
        self._lake.delete_staging(self._table.name)  # what a killed execution left
        try:
            yield
        finally:
            self._lake.delete_staging(self._table.name)

    def _published(self) -> set[Month]:
        """The months that the raw layer has: one that the source has no more is to become empty."""
        prefix = layout.current_manifests_prefix(self._table.name)
        labels = {file.key[len(prefix) : -len(".json")] for file in self._lake.files(prefix)}
        return {Month.of_label(label) for label in labels - {layout.UNDATED}}

    def _projections(self, lossy: Collection[str]) -> list[sql.Projection]:
        if self._table.format == "csv":
            return sql.text_projections(self._columns, self._table.columns)
        return sql.typed_projections(self._columns, self._table.columns, lossy)

    def _count(self, months: Optional[Sequence[Month]]) -> dict[Month, Count]:
        query = sql.count_by_month(self._relation, self._date, months, self._lossy)
        return {
            Month(row["year"], row["month"]): Count(row["rows"], row["min_date"], row["max_date"], self._found(row))
            for row in self._source.connection.rows(query)
        }

    def _count_undated(self) -> Count:
        [row] = self._source.connection.rows(sql.count_undated(self._relation, self._date, self._lossy))
        return Count(row["rows"], lossy=self._found(row))

    def _found(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(name for name, rows in zip(self._lossy, row["lossy"]) if rows)

    def _ingest(self, month: Optional[Month], count: Count, undated: int) -> None:
        started, clock = datetime.now(timezone.utc), time.monotonic()
        label = layout.month_label(month)
        staging = f"{layout.staging_prefix(self._source.execution, self._table.name)}{label}/"
        rows = self._stage(month, count, staging)
        self._check_lock()
        published = self._move(staging, layout.partition_prefix(self._table.name, month))
        manifest = Manifest(
            table=self._table.name,
            month=label,
            execution=self._source.execution,
            rows=rows,
            source_rows=count.rows,
            undated_rows=undated,
            bytes=sum(file.bytes for file in published),
            files=tuple(published),
            columns=tuple(Column(column.name, column.type, column.comment) for column in self._columns),
            format=self._table.format,
            date_column=self._date.name,
            min_date=count.min_date,
            max_date=count.max_date,
            snapshot=self._source.snapshot,
            seconds=round(time.monotonic() - clock, 3),
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        self._commit(month, manifest)
        print(
            f"{self._table.name} {label}: {rows} rows in {len(published)} files, {manifest.bytes} bytes,"
            f" {manifest.seconds:.1f} s",
            flush=True,
        )

    def _stage(self, month: Optional[Month], count: Count, staging: str) -> int:
        """Write the month to staging and return its rows. Raises RowCountError when rows are missing or too many."""
        if count.rows == 0:
            return 0
        uri = self._lake.uri(staging)
        with _explained(f"{self._table.name} {layout.month_label(month)}"):
            conditions = self._conditions(month, count)
            frame = files.read(self._spark, self._source, self._table, self._projections(count.lossy), conditions)
            rows = files.write(frame, self._table, uri)
            self._check("Spark wrote", rows, count, month)
            if self._table.verify == "full":
                self._check("the written files hold", files.count_back(self._spark, self._table, uri), count, month)
        return rows

    def _conditions(self, month: Optional[Month], count: Count) -> list[str]:
        column = sql.DateColumn(sql.SLICED, self._date.base_type, self._date.timezone)
        if month is None:
            return [column.undated]
        wanted = -(-count.rows // ROWS_PER_SLICE)
        return sql.slices(column, month, min(wanted, MAX_SLICES))

    def _check(self, what: str, rows: int, count: Count, month: Optional[Month]) -> None:
        if rows == count.rows:
            return
        text = f"{self._table.name} {layout.month_label(month)}: {what} {rows} rows, the source counted {count.rows}"
        if self._source.snapshot is not None:
            raise RowCountError(f"{text} in the same snapshot: nothing of this month was published")
        print(f"{text} (no common snapshot, the table may have changed in between)", flush=True)

    def _move(self, staging: str, folder: str) -> list[File]:
        """Move the staged files into the month's folder, where their names tell the execution."""
        published = []
        for file in self._lake.files(staging):
            basename = file.key[len(staging) :]
            if basename.startswith(("_", ".")):  # markers of Spark's committer, which readers skip as well
                continue
            key = f"{folder}run-{self._source.execution}-{basename}"  # readers skip names that begin with _ or .
            self._lake.move(file.key, key)
            published.append(File(key, file.bytes))
        return published

    def _commit(self, month: Optional[Month], manifest: Manifest) -> None:
        """Write the manifest, then delete what it does not list."""
        if manifest.rows and not manifest.files:
            raise RowCountError(
                f"{manifest.table} {manifest.month}: the {manifest.rows} rows that Spark wrote are gone"
            )
        text = manifest.to_json()
        self._check_lock()
        self._lake.write(layout.execution_manifest_key(manifest.execution, manifest.table, month), text)
        self._lake.write(layout.current_manifest_key(manifest.table, month), text)
        listed = {file.key for file in manifest.files}
        for file in self._lake.files(layout.partition_prefix(manifest.table, month)):
            if file.key not in listed:
                self._lake.delete(file.key)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn a Java exception into an IngestionError with the reason that Spark gives."""
    try:
        yield
    except JAVA_ERRORS as error:
        raise IngestionError(f"{doing}: {spark_reason(java_text(error))}") from error


def spark_reason(text: str) -> str:
    """The exception of the failed task in what Spark says of a failed job, else the first line."""
    match = _TASK_FAILURE.search(text)
    return next(group for group in match.groups() if group) if match else text.splitlines()[0]


def lock_key(bucket: str, table: Table) -> str:
    """What the one writer of a table locks."""
    return f"{bucket}/{table.name}"


def ingest(spark: SparkSession, source: Source, locks: Locks, lake: Lake, requests: Sequence[TableRequest]) -> None:
    """Ingest every table that is asked for; one that fails does not stop the others.

    `locks` hold the key of each table, or were refused it. Raises IngestionError at the end, naming each table that
    failed with the reason.
    """
    failures = {}
    for request in requests:
        name = request.table.name
        try:
            with source.connection.savepoint():
                TableIngestion(spark, source, locks, lake, request.table).run(request.months)
        except IngestionError as error:
            print(f"{name} failed: {error}", flush=True)
            failures[name] = str(error)
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise IngestionError(f"{len(failures)} of {len(requests)} tables failed: {reasons}")
