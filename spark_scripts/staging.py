"""Staging: months are read and written, and their rows checked, before anything is published."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spark_scripts import files, layout, projections, sql
from spark_scripts.errors import IngestionError
from spark_scripts.jvm import JAVA_ERRORS, java_text
from spark_scripts.manifest import File

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_scripts.counts import Count
    from spark_scripts.lake import Lake
    from spark_scripts.slicing import Slice
    from spark_scripts.source import Relation, Source
    from spark_scripts.tables import Table

_TASK_FAILURE = re.compile(r"most recent failure: .*?\(executor [^)]*\)\): (.*)|\(\S+ executor \S+\): (.*)")


class RowCountError(IngestionError):
    """Spark wrote another number of rows than the source counted in the same snapshot."""


@dataclass(frozen=True)
class Staged:
    """A month in staging: the rows that Spark wrote, and the files."""

    rows: int = 0
    files: tuple[File, ...] = ()


class Stage:
    """Where an execution writes one table before it is published."""

    def __init__(self, spark: SparkSession, source: Source, lake: Lake, table: Table, relation: Relation) -> None:
        self._spark = spark
        self._source = source
        self._lake = lake
        self._table = table
        self._relation = relation
        self._prefix = layout.staging_prefix(source.execution, table.name)
        self._csv = table.format == "csv"
        self._header = projections.csv_header(relation.columns) if self._csv else ""
        self._fetch_size = files.FETCH_SIZE
        self._projections(())  # tells what does not fit before anything is read

    def write(self, counts: Sequence[Count], condition: str, sliced: str, slices: Sequence[Slice]) -> list[Staged]:
        """Stage the months of `counts`, which have rows and are alike in `lossy`: what meets `condition`, in `slices`.

        Raises RowCountError when rows are missing or too many, IngestionError with Spark's reason when it fails.
        """
        what = f"{self._table.name} {layout.month_label(counts[0].month)}"
        if len(counts) > 1:
            what += f" to {layout.month_label(counts[-1].month)}"
        folder = f"{self._prefix}{layout.month_label(counts[0].month)}/"
        rows = sql.Rows(condition, self._relation.date.month_day, tuple(count.day for count in counts))
        with _explained(what):
            written = self._write(self._query(rows, sliced, counts[0].lossy), slices, counts[0].lossy, folder)
        headers = Counter(day for each in slices for day in each.days) if self._csv else Counter()
        if not written.keys() <= set(rows.days):
            raise RowCountError(f"{what}: the rows are of other months than the source counted")
        staged = []
        for count in counts:
            month_folder = f"{folder}{self._day_column(count.lossy)}={count.day}/"
            with _explained(what):
                rows_written = self._checked(written.get(count.day, 0) - headers[count.day], count, month_folder)
            staged.append(Staged(rows_written, tuple(self._data_files(month_folder))))
        return staged

    def _projections(self, lossy: Collection[str]) -> list[projections.Projection]:
        return projections.typed_projections(self._relation.columns, self._table.columns, lossy)

    def _day_column(self, lossy: Collection[str]) -> str:
        return files.DAY if self._csv else files.day_column(self._projections(lossy))

    def _query(self, rows: sql.Rows, sliced: str, lossy: Collection[str]) -> str:
        if self._csv:
            line = projections.csv_line(self._relation.columns, self._table.columns)
            return sql.select_lines(self._relation.name, self._header, line, sliced, rows)
        expressions = [projection.expression for projection in self._projections(lossy)]
        return sql.select_typed(self._relation.name, expressions, sliced, rows)

    def _write(self, query: str, slices: Sequence[Slice], lossy: Collection[str], folder: str) -> Mapping[int, int]:
        predicates = [sql.slice_of_lines(each.condition, each.days) if self._csv else each.condition for each in slices]
        frame = files.read(self._spark, self._source, query, predicates, self._fetch_size)
        try:
            return files.write(self._shaped(frame, lossy), self._table, self._lake.uri(folder))
        except JAVA_ERRORS as error:
            if "maxResultBuffer" not in java_text(error) or self._fetch_size == 1:
                raise
        self._fetch_size = max(1, self._fetch_size // files.FETCH_FEWER)
        print(f"{self._table.name}: rows are large, fetching {self._fetch_size} at a time", flush=True)
        return self._write(query, slices, lossy, folder)

    def _shaped(self, frame: DataFrame, lossy: Collection[str]) -> DataFrame:
        return frame.select("line", files.DAY) if self._csv else files.typed(frame, self._projections(lossy))

    def _checked(self, rows: int, count: Count, folder: str) -> int:
        self._check("Spark wrote", rows, count)
        if self._table.verify == "full":
            held = files.count_back(self._spark, self._table, self._lake.uri(folder))
            self._check("the written files hold", held, count)
        return rows

    def _check(self, what: str, rows: int, count: Count) -> None:
        if rows == count.rows:
            return
        month = layout.month_label(count.month)
        text = f"{self._table.name} {month}: {what} {rows} rows, the source counted {count.rows}"
        if self._source.snapshot is not None:
            raise RowCountError(f"{text} in the same snapshot: nothing of this month was published")
        print(f"{text} (no common snapshot, the table may have changed in between)", flush=True)

    def _data_files(self, folder: str) -> Iterator[File]:
        for file in self._lake.files(folder):
            marker = file.key[len(folder) :].startswith(("_", "."))  # of Spark's committer
            only_header = self._csv and not self._table.compression and file.bytes == len(self._header.encode()) + 1
            if not marker and not only_header:
                yield file


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
