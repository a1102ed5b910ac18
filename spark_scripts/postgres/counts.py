"""What the source counts, month by month, in the snapshot that the job reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from spark_scripts.contract.months import Partition
from spark_scripts.postgres import sql
from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.source import Relation
from spark_scripts.postgres.source_state import IDS


@dataclass(frozen=True)
class Count:
    """The rows of one partition in the source.

    `min_date` and `max_date` are the date column's extremes as text. `lossy` are the columns with values that the
    Spark type of the column does not have. `first_block` and `last_block` are the first and the last block of the
    relation with one of the rows; None where blocks were not counted. `ids` is `source_state.IDS` of the rows; empty
    where the ids were not read.
    """

    partition: Partition
    rows: int
    min_date: Optional[str] = None
    max_date: Optional[str] = None
    lossy: tuple[str, ...] = ()
    first_block: Optional[int] = None
    last_block: Optional[int] = None
    ids: str = ""

    @property
    def day(self) -> int:
        """The `month_day` of the rows."""
        return self.partition.epoch_day


def count(
    connection: Connection,
    relation: Relation,
    condition: str,
    lossy: Mapping[str, str],
    *,
    blocks: bool,
    ids: bool = False,
) -> dict[Partition, Count]:
    """The counts of the rows that meet `condition`; with `blocks` also where they are, with `ids` their ids."""
    counts = {}
    aggregate = {"ids": IDS} if ids else {}
    query = sql.count_by_month(relation.name, relation.date, condition, lossy, blocks=blocks, **aggregate)
    for row in connection.rows_of_user(query):
        found = tuple(name for name, rows in zip(lossy, row.pop("lossy")) if rows)
        partition = Partition.of_epoch_day(row.pop("day"))
        counts[partition] = Count(partition, lossy=found, **row)
    return counts
