"""What the source counts, month by month, in the snapshot that the job reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from spark_scripts.contract.months import Month
from spark_scripts.postgres import sql
from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.source import Relation


@dataclass(frozen=True)
class Count:
    """The rows of one month (of those without one when it is None) in the source.

    `day` is the month's first day since 1970-01-01, or UNDATED_DAY. `min_date` and `max_date` are the date column's
    extremes as text. `lossy` are the columns with values that the Spark type of the column does not have. The rows
    lie between `first_block` and `last_block`, where the relation has such.
    """

    month: Optional[Month]
    rows: int
    day: int = sql.UNDATED_DAY
    min_date: Optional[str] = None
    max_date: Optional[str] = None
    lossy: tuple[str, ...] = ()
    first_block: Optional[int] = None
    last_block: Optional[int] = None


def count(
    connection: Connection, relation: Relation, condition: str, lossy: Mapping[str, str], *, blocks: bool
) -> dict[Optional[Month], Count]:
    """The rows that meet `condition`, by month, and those without a month; with `blocks` also where they lie."""
    counts = {}
    query = sql.count_by_month(relation.name, relation.date, condition, lossy, blocks=blocks)
    for row in connection.rows_of_user(query):
        found = tuple(name for name, rows in zip(lossy, row.pop("lossy")) if rows)
        month = None if row["day"] == sql.UNDATED_DAY else Month.of_epoch_day(row["day"])
        counts[month] = Count(month, lossy=found, **row)
    return counts
