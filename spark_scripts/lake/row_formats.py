"""The two shapes in which rows cross Spark: lines of CSV that PostgreSQL has built, and typed values for Parquet.

Each knows the query that Spark's readers take slices of, and what of its result is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Optional, Protocol

from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts.contract import manifest
from spark_scripts.postgres import projections, sql

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.slicing import Slice
    from spark_scripts.postgres.source import Relation

_DAY = "month_day"


class Shape(Protocol):
    """What Spark reads and writes.

    `day` is the last column that it writes, and partitions by. `empty_file_bytes` is the size of a file without a row
    that is not worth publishing, None where it has no certain size.
    """

    day: str
    empty_file_bytes: Optional[int]

    def query(self, rows: sql.Rows, sliced: str) -> str:
        """The subquery for `rows`, in which `sliced` is the column of the slices' conditions."""

    def predicate(self, one: Slice) -> str:
        """The condition of a slice of the subquery."""

    def written(self, frame: DataFrame) -> DataFrame:
        """What is written of the subquery's result."""

    def headers(self, slices: Sequence[Slice]) -> Counter[int]:
        """The rows by `day` that are in the result and not in the source."""

    def file_columns(self, written: DataFrame) -> tuple[manifest.Column, ...]:
        """The columns of the files with Spark's types, where the format has types."""


class Lines:
    """A line of CSV for each row, below the header of each file."""

    day = _DAY

    def __init__(self, relation: Relation, table: Table) -> None:
        self._relation = relation.name
        self._line = projections.csv_line(relation.columns, table.columns)
        self._header = projections.csv_header(relation.columns)
        self.empty_file_bytes: Optional[int] = None if table.compression else len(self._header.encode()) + 1

    def query(self, rows: sql.Rows, sliced: str) -> str:
        """See Shape."""
        return sql.select_lines(self._relation, self._header, self._line, sliced, rows)

    def predicate(self, one: Slice) -> str:
        """See Shape."""
        return sql.slice_of_lines(one.condition, one.days)

    def written(self, frame: DataFrame) -> DataFrame:
        """See Shape."""
        return frame.select("line", self.day)

    def headers(self, slices: Sequence[Slice]) -> Counter[int]:
        """See Shape."""
        return Counter(day for one in slices for day in one.days)

    def file_columns(self, _written: DataFrame) -> tuple[manifest.Column, ...]:
        """See Shape."""
        return ()


class Values:
    """A column for each of the source's, in the type that Spark has for it; see `typed_projections` for `lossy`."""

    def __init__(self, relation: Relation, table: Table, lossy: Collection[str]) -> None:
        self._relation = relation.name
        self._projections = projections.typed_projections(relation.columns, table.columns, lossy)
        self.empty_file_bytes: Optional[int] = None
        self.day = projections.free_name(_DAY, [projection.name for projection in self._projections])

    def query(self, rows: sql.Rows, sliced: str) -> str:
        """See Shape."""
        return sql.select_typed(self._relation, [one.expression for one in self._projections], sliced, rows)

    def predicate(self, one: Slice) -> str:
        """See Shape."""
        return one.condition

    def written(self, frame: DataFrame) -> DataFrame:
        """See Shape."""
        columns = [_column(index, projection) for index, projection in enumerate(self._projections)]
        return frame.select(*columns, F.col(_DAY).alias(self.day))

    def headers(self, _slices: Sequence[Slice]) -> Counter[int]:
        """See Shape."""
        return Counter()

    def file_columns(self, written: DataFrame) -> tuple[manifest.Column, ...]:
        """See Shape."""
        fields = (field for field in written.schema.fields if field.name != self.day)
        return tuple(manifest.Column(field.name, field.dataType.simpleString()) for field in fields)


def _column(index: int, projection: projections.Projection) -> Column:
    return F.expr((projection.spark_expression or "{}").format(f"c{index}")).alias(projection.name)
