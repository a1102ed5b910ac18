"""The two formats in which rows pass through Spark: lines of CSV that PostgreSQL builds, and typed columns for Parquet.

A format knows the subquery that Spark reads in slices, and which columns of the result Spark writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Optional, Protocol

from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts.contract import content, manifest, privacy
from spark_scripts.contract.identifiers import free_name
from spark_scripts.lake import digests
from spark_scripts.lake.hashing import with_pads
from spark_scripts.lake.spark_io import Hashed
from spark_scripts.postgres import projections, sql

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.slicing import Slice
    from spark_scripts.postgres.source import Relation

_DAY = "month_day"
_LINE = "line"


class RowFormat(Protocol):
    """The query that Spark reads, and the columns of its result that Spark writes.

    `day` is the last column that Spark writes, and partitions by. `empty_file_bytes` is the size of a file without a
    row, which is not published; None where that size is not certain.
    """

    day: str
    empty_file_bytes: Optional[int]

    def query(self, rows: sql.Rows, sliced: str) -> str:
        """The subquery for `rows`; `sliced` is the column that the conditions of the slices are about."""

    def predicate(self, one: Slice) -> str:
        """The condition of a slice of the subquery."""

    def written(self, frame: DataFrame) -> DataFrame:
        """The columns that Spark writes, from the subquery's result."""

    def hashed(self, written: DataFrame, days: Sequence[int]) -> Hashed:
        """The rows that `written` returned, with their hashes; they are of these `days` only."""

    def headers(self, slices: Sequence[Slice]) -> Counter[int]:
        """How many header lines the slices add to the rows, by `day`."""

    def file_columns(self, written: DataFrame) -> tuple[manifest.Column, ...]:
        """The columns of the files with Spark's types; empty where the format has no types."""


class CsvLines:
    """A line of CSV for each row, below a header in each file. PostgreSQL builds the lines."""

    day = _DAY

    def __init__(self, relation: Relation, table: Table, pepper: str) -> None:
        self._relation = relation.name
        self._pepper = pepper
        self._parts = projections.csv_parts(relation.columns, table.treated)
        self._header = projections.csv_header(relation.columns)
        self._reads_back = table.verify == "content"
        self.empty_file_bytes: Optional[int] = None if table.compression else len(self._header.encode()) + 1

    def query(self, rows: sql.Rows, sliced: str) -> str:
        """The header for each month, then a line for each row."""
        line, *rest = (part.expression for part in self._parts)
        return sql.select_lines(self._relation, self._header, line, sliced, rows, rest)

    def predicate(self, one: Slice) -> str:
        """The rows of the slice, and the headers of its months."""
        return sql.slice_of_lines(one.condition, one.days)

    def written(self, frame: DataFrame) -> DataFrame:
        """The line and its month."""
        if len(self._parts) == 1:
            return frame.select(_LINE, self.day)
        rest = enumerate(self._parts[1:], 1)
        texts = [F.expr((part.spark_expression or "coalesce({}, '')").format(f"part{number}")) for number, part in rest]
        line = F.concat(_LINE, *texts).alias(_LINE)
        return with_pads(frame, self._pepper).select(line, self.day)

    def hashed(self, written: DataFrame, days: Sequence[int]) -> Hashed:
        """The hash of the line; to compare what is read back also of its physical lines."""
        hashes = [digests.of_line(_LINE)]
        if self._reads_back:
            hashes.append(digests.of_physical_lines(_LINE))
        return Hashed(written, self.day, days, hashes, self._header)

    def headers(self, slices: Sequence[Slice]) -> Counter[int]:
        """A header for each month of each slice, because each slice writes a file for each of its months."""
        return Counter(day for one in slices for day in one.days)

    def file_columns(self, _written: DataFrame) -> tuple[manifest.Column, ...]:
        """Empty: CSV has no types."""
        return ()


class TypedColumns:
    """A column for each column of the source, in the Spark type that holds it, for Parquet.

    `lossy` are the columns with values that their Spark type does not have; see `typed_projections`.
    """

    empty_file_bytes: Optional[int] = None

    def __init__(self, relation: Relation, table: Table, pepper: str, lossy: Collection[str]) -> None:
        self._relation = relation.name
        self._pepper = pepper if privacy.hashed(table.columns) else ""
        self._projections = projections.typed_projections(relation.columns, table.treated, lossy)
        self.day = free_name(_DAY, [projection.name for projection in self._projections])

    def query(self, rows: sql.Rows, sliced: str) -> str:
        """A row of neutrally named columns for each row."""
        return sql.select_typed(self._relation, [one.expression for one in self._projections], sliced, rows)

    def predicate(self, one: Slice) -> str:
        """The rows of the slice."""
        return one.condition

    def written(self, frame: DataFrame) -> DataFrame:
        """The columns in their types and under their own names, and the month."""
        columns = [_column(index, projection) for index, projection in enumerate(self._projections)]
        frame = with_pads(frame, self._pepper) if self._pepper else frame
        return frame.select(*columns, F.col(_DAY).alias(self.day))

    def hashed(self, written: DataFrame, days: Sequence[int]) -> Hashed:
        """The hash of the values, in a column of its own: it is too long to stand in the sum of each month."""
        fields = [field for field in written.schema.fields if field.name != self.day]
        added = free_name("row_hash", written.columns)
        columns = content.typed_columns((column.name, column.type) for column in self.file_columns(written))
        frame = written.withColumn(added, digests.of_values(fields))
        return Hashed(frame, self.day, days, [F.col(added)], columns, [added])

    def headers(self, _slices: Sequence[Slice]) -> Counter[int]:
        """Empty: Parquet has no header lines."""
        return Counter()

    def file_columns(self, written: DataFrame) -> tuple[manifest.Column, ...]:
        """All columns but the month, which is in the folder's name only."""
        fields = (field for field in written.schema.fields if field.name != self.day)
        return tuple(manifest.Column(field.name, field.dataType.simpleString()) for field in fields)


def _column(index: int, projection: projections.Projection) -> Column:
    return F.expr((projection.spark_expression or "{}").format(f"c{index}")).alias(projection.name)
