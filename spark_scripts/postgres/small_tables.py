"""Which tables are so small that the driver reads their months itself, in one piece; see `lake/small_months.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spark_scripts.contract import privacy

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.counts import Count
    from spark_scripts.postgres.source import Relation

MAX_ROWS = 10_000
"""Rows that are read at once; with more of them Spark is faster, which reads in parallel."""

MAX_TABLE_BYTES = 64 * 2**20
"""The largest table, with its TOAST table and indexes. In a larger one few rows may be large, or far apart: PostgreSQL
keeps the lines that are read at once in memory or in temporary files, and Spark reads the slices in parallel.
"""


def fit(table: Table, relation: Relation, counts: Sequence[Count]) -> bool:
    """Whether the driver may read the partitions of `counts` at once, unless their lines turn out to be too long.

    `relation` is measured; views and foreign tables have no size, so Spark reads them. Spark also writes Parquet and
    compressed files, hashes values, reads files again to verify them, and cuts the reads of a table as its entry says.
    """
    plain = table.format == "csv" and table.compression is None and not privacy.hashed(table.columns)
    as_asked = table.verify == "content" or table.slice_by is not None or table.slices is not None
    small = relation.bytes is not None and relation.bytes <= MAX_TABLE_BYTES
    return plain and not as_asked and small and sum(each.rows for each in counts) <= MAX_ROWS
