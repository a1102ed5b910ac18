"""Staging: months are read and written, and their rows checked, before anything is published."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional
from uuid import uuid4

from spark_scripts.contract import layout
from spark_scripts.contract.content import Content
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import Column, File
from spark_scripts.contract.wording import counted, spans
from spark_scripts.driver.jvm import JAVA_ERRORS, java_text, sql_state
from spark_scripts.lake import large_rows, small_months, spark_io
from spark_scripts.lake.row_formats import CsvLines, RowFormat, TypedColumns
from spark_scripts.postgres import sql
from spark_scripts.postgres.errors import RowCountError, SourceError
from spark_scripts.postgres.hints import with_hint

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.tables import Table
    from spark_scripts.driver.reporter import Reporter
    from spark_scripts.lake.bucket import Lake
    from spark_scripts.postgres.counts import Count
    from spark_scripts.postgres.slicing import Slice
    from spark_scripts.postgres.source import Relation, Source

_FAILURE = re.compile(r"\(\S+ executor \S+\): (.*)|^Caused by: (.*)", re.MULTILINE)

_FEW_MONTHS = 24


class ContentError(IngestionError):
    """The files do not hold what Spark wrote."""


@dataclass(frozen=True)
class Staged:
    """A month in staging: its rows, the files, their columns where they have types, and the digest of the rows.

    `text` is the content of the one file of a small month, which is in memory only, whatever its key says.
    """

    rows: int = 0
    files: tuple[File, ...] = ()
    columns: tuple[Column, ...] = ()
    content: Optional[str] = None
    text: Optional[bytes] = None


class Stage:
    """Writes one table into the staging folder of an execution, before it is published."""

    def __init__(
        self, spark: SparkSession, source: Source, lake: Lake, reporter: Reporter, table: Table, relation: Relation
    ) -> None:
        self._spark = spark
        self._source = source
        self._lake = lake
        self._reporter = reporter
        self._table = table
        self._relation = relation
        self._prefix = layout.staging_prefix(source.execution, table.name)
        self._fetch_size = spark_io.FETCH_SIZE
        self._row_format(())  # raises InvalidInputError before anything is read

    def write(
        self, counts: Sequence[Count], small: Optional[str], condition: str, sliced: str, slices: Sequence[Slice]
    ) -> list[Staged]:
        """Stage the rows that meet `condition` in all `slices`.

        Where the driver may read them, `small` is a condition that the same rows meet, else None. `sliced` is the
        column that the slices are about. `counts` are the partitions of the rows, all with rows and with the same
        `lossy`. Raises RowCountError when rows are missing or too many, ContentError when the files hold others,
        SourceError with the reason when reading or writing fails.
        """
        what = f"{self._table.name} {counts[0].partition.key}"
        if len(counts) > 1:
            what += f" to {counts[-1].partition.key}"
        reading = self._reporter.reading(self._table.name, what.partition(" ")[2], len(slices))
        with _explained(what), large_rows.explained(what, self._spark), reading:
            read = None if small is None else self._read_small(what, counts, small)
            staged = self._written(what, counts, condition, sliced, slices) if read is None else read
        one_snapshot = read is not None or self._source.snapshot is not None
        for count, each in zip(counts, staged):
            self._check(each.rows, count, one_snapshot=one_snapshot)
        return staged

    def _read_small(self, what: str, counts: Sequence[Count], condition: str) -> Optional[list[Staged]]:
        """The months in memory, where they are small enough for that."""
        try:
            read = small_months.read(self._source.connection, self._relation, self._table, condition)
        except SourceError as error:
            raise SourceError(f"{what}: {error}", error.state) from error
        if read is None:
            self._reporter.say(
                f"{what}: the lines have more than {small_months.MAX_BYTES:,} bytes, so Spark reads them"
            )
            return None
        _check_days(what, read, counts)
        folder = f"{self._prefix}{counts[0].partition.key}/"
        staged = []
        for count in counts:
            month = read.get(count.day)
            if month is None:
                staged.append(Staged(content=str(Content(self._table.format))))
                continue
            file = File(f"{folder}{count.partition.key}-{uuid4()}.csv", len(month.text))
            staged.append(Staged(month.content.rows, (file,), content=str(month.content), text=month.text))
        return staged

    def _written(
        self, what: str, counts: Sequence[Count], condition: str, sliced: str, slices: Sequence[Slice]
    ) -> list[Staged]:
        """The months as Spark has written them."""
        folder = f"{self._prefix}{counts[0].partition.key}/"
        rows = sql.Rows(condition, self._relation.date.month_day, tuple(count.day for count in counts))
        row_format = self._row_format(counts[0].lossy)
        query = row_format.query(rows, sliced)
        written, columns = self._write(row_format, query, slices, folder, rows.days)
        if self._table.verify == "content":
            self._compare(written, counts, folder, row_format)
        _check_days(what, written.rows, counts)
        headers = row_format.headers(slices)
        found = self._lake.files_below(folder)
        staged = []
        for count in counts:
            month_folder = f"{folder}{row_format.day}={count.day}/"
            content = self._content(written, count.day, headers[count.day])
            files = tuple(_data_files(found, month_folder, row_format))
            staged.append(Staged(content.rows, files, columns, str(content)))
        return staged

    def _content(self, written: spark_io.Written, day: int, headers: int) -> Content:
        """The content of a month without its header lines, which are of the number of slices."""
        rows = written.rows.get(day, 0) - headers
        return Content(
            self._table.format, rows, written.sums[0].get(day, 0) - headers * written.columns, written.columns
        )

    def _row_format(self, lossy: Collection[str]) -> RowFormat:
        if self._table.format == "csv":
            return CsvLines(self._relation, self._table, self._source.database.pepper)
        return TypedColumns(self._relation, self._table, self._source.database.pepper, lossy)

    def _write(
        self, row_format: RowFormat, query: str, slices: Sequence[Slice], folder: str, days: Sequence[int]
    ) -> tuple[spark_io.Written, tuple[Column, ...]]:
        months = max(len(one.days) for one in slices)
        # Without a common snapshot a slice may have rows of other months than those that were counted in it.
        parts = [slices] if self._source.snapshot is None else parts_of_few_months(slices)
        while True:
            size = self._fetch_size
            try:
                hashed = [self._hashed(row_format, query, part, days) for part in parts]
                uri = self._lake.uri(folder)
                written = spark_io.write(hashed, self._table, uri, months_of_a_task=months, fetch_size=size)
                return written, row_format.file_columns(hashed[0].frame.drop(*hashed[0].added))
            except JAVA_ERRORS as error:
                if size == 1 or not large_rows.exceed_a_fetch(error):
                    raise
            self._fetch_size = max(1, size // spark_io.FETCH_FEWER)
            self._reporter.say(f"{self._table.name}: rows are large, fetching {self._fetch_size} at a time")

    def _hashed(
        self, row_format: RowFormat, query: str, slices: Sequence[Slice], days: Sequence[int]
    ) -> spark_io.Hashed:
        """The rows of the slices, to be written."""
        predicates = [row_format.predicate(one) for one in slices]
        read = spark_io.read(self._spark, self._source, self._table, query, predicates, self._fetch_size)
        of_slices = {day for one in slices for day in one.days}
        known = days if self._source.snapshot is None else [day for day in days if day in of_slices]
        return row_format.hashed(row_format.written(read), known)

    def _compare(self, written: spark_io.Written, counts: Sequence[Count], folder: str, row_format: RowFormat) -> None:
        """Raise ContentError when the files of the months in `folder` do not hold what Spark wrote."""
        uri = self._lake.uri(folder)
        held = spark_io.read_back(self._spark, self._table, uri, row_format.day, written.schema)
        wrong = [
            count.partition.key for count in counts if held.get(count.day, 0) != written.sums[-1].get(count.day, 0)
        ]
        if wrong:
            raise ContentError(
                f"{self._table.name}: the files of {spans(wrong)} do not hold what Spark wrote: nothing of"
                f" {'this month' if len(wrong) == 1 else 'these months'} was published; run it again"
            )

    def _check(self, rows: int, count: Count, *, one_snapshot: bool) -> None:
        if rows == count.rows:
            return
        month = f"{self._table.name} {count.partition.key}"
        text = f"{month}: {counted(rows, 'row')} arrived, the source counted {count.rows:,}"
        if one_snapshot:
            raise RowCountError(f"{text} in the same snapshot: nothing of this month was published")
        self._reporter.say(f"{text} (no common snapshot, the table may have changed in between)")


def _check_days(what: str, days: Iterable[int], counts: Sequence[Count]) -> None:
    if not set(days) <= {count.day for count in counts}:
        raise RowCountError(f"{what}: the rows are of other months than the source counted")


def parts_of_few_months(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices in parts that follow each other, each with few months unless a single slice has more.

    Spark keeps a sum for each month of a part, and adds each row to one of them after it has looked at all.
    """
    parts: list[list[Slice]] = []
    days: set[int] = set()
    for one in slices:
        together = days.union(one.days)
        if parts and len(together) <= max(_FEW_MONTHS, len(days), len(one.days)):
            parts[-1].append(one)
            days = together
        else:
            parts.append([one])
            days = set(one.days)
    return parts


def _data_files(found: Iterable[File], folder: str, row_format: RowFormat) -> Iterator[File]:
    for file in found:
        marker = file.key[len(folder) :].startswith(("_", "."))  # of Spark's committer
        if file.key.startswith(folder) and not marker and file.bytes != row_format.empty_file_bytes:
            yield file


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn a Java exception into a SourceError with the reason that Spark gives."""
    try:
        yield
    except JAVA_ERRORS as error:
        state, reason = sql_state(error), spark_reason(java_text(error))
        raise SourceError(f"{doing}: {with_hint(state, reason)}", state) from error


def spark_reason(text: str) -> str:
    """The reason in Spark's text about a failed job: the first exception that is not Spark's own, else the first one.

    Spark wraps the exception that fails a task: errors of connections, disks and PostgreSQL follow `Caused by:`.
    """
    failures = [of_task or cause for of_task, cause in _FAILURE.findall(text)]
    foreign = (failure for failure in failures if not failure.startswith("org.apache.spark."))
    return next(foreign, (failures or text.splitlines())[0])
