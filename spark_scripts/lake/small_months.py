"""Months of small tables, which the driver reads and writes itself, without Spark: one request for each file.

Spark takes a tenth of a second of the driver's processors however few rows it reads, and its committer asks S3 about
20 times for a file, one request after the other. People have hundreds of such tables. The driver reads them in the
session that has counted them, so they are of one snapshot also where the server exports none.
`postgres/small_tables.py` says which tables these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract.content import MODULUS, SEED, Content
from spark_scripts.lake.xxh64 import xxh64
from spark_scripts.postgres import projections, sql

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.connection import Connection
    from spark_scripts.postgres.source import Relation

MAX_BYTES = 2 * 2**20
"""Bytes of the lines that are read at once. Several tables side by side are in memory, each a few times."""


@dataclass(frozen=True)
class SmallMonth:
    """The text of a month's one file, in UTF-8, and the digest of its rows."""

    text: bytes
    content: Content


def read(
    connection: Connection, relation: Relation, table: Table, condition: str
) -> Optional[Mapping[int, SmallMonth]]:
    """The months of the rows that meet `condition`, by `month_day`; None when the lines are longer than MAX_BYTES.

    There must be such rows. Raises SourceError.
    """
    line = projections.csv_line(relation.columns, table.treated)
    query = sql.lines_by_day(relation.name, line, relation.date.month_day, condition, MAX_BYTES)
    header = projections.csv_header(relation.columns).encode()
    found = connection.rows_of_user(query)
    return {row["day"]: _month(header, row["lines"]) for row in found} or None


def _month(header: bytes, texts: Sequence[str]) -> SmallMonth:
    lines = [text.encode() for text in texts]
    total = sum(xxh64(line, SEED) for line in lines) % MODULUS
    return SmallMonth(b"\n".join((header, *lines, b"")), Content("csv", len(lines), total, xxh64(header, SEED)))
