"""How a read is cut into slices, one for each task of Spark.

By `ctid`, ranges of blocks: one pass over the table, whatever its order and its indexes. By `date`, spans of time,
which an index on the date column, or partitions by it, serve. By `none`: views and foreign tables without such an
index would be read whole for each slice. PostgreSQL's planner, which knows the indexes, their correlation with the
order of the rows, partitions, and what is behind a view, tells which is the cheapest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import quote
from spark_scripts.contract.months import Month
from spark_scripts.postgres import sql
from spark_scripts.postgres.pg_catalog import cast, infix

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.connection import Connection
    from spark_scripts.postgres.counts import Count
    from spark_scripts.postgres.source import Relation

TARGET_FILE_BYTES = 128 * 2**20
"""What a file should have at most, by the planner's estimate of a row's width."""

MIN_BLOCKS = 4096
"""Fewer blocks (32 MiB, at PostgreSQL's 8 KiB) are not worth a slice of their own."""

MIN_ROWS = 25_000
"""Fewer rows of a month are not worth a slice of their own."""

SLICES_PER_CORE = 2
"""More slices than cores, so that a slow one does not leave the others idle for long."""

MAX_OVERHEAD = 2.0
"""How many times one pass slices by date may cost, where nothing else lets the cores read side by side."""

_EXPLAINED = 24
"""So many slices by date, evenly chosen, stand for all when the planner is asked for their costs."""


@dataclass(frozen=True)
class Slice:
    """The rows that meet `condition`, a condition on the column `sliced`. Only months of `days` are among them."""

    condition: str
    days: tuple[int, ...]


class Slicing:
    """How the reads of one table are cut in one execution: `by` ctid, date or none, and why."""

    def __init__(self, connection: Connection, table: Table, relation: Relation, cores: int) -> None:
        self._connection = connection
        self._table = table
        self._relation = relation
        self._cores = cores
        self._width = 1
        self.by = "none"
        self.reason = ""

    def decide(self, counts: Sequence[Count], condition: str, full: bool) -> None:
        """Choose for a read of `condition`, which has these counts; `full` when it is the whole table."""
        one_pass = self._connection.plan(sql.select_all(self._relation.name, condition))
        self._width = one_pass["Plan Width"]
        if self._table.slice_by:
            if self._table.slice_by == "ctid" and not self._relation.by_ctid:
                raise InvalidInputError(
                    f"table {self._table.name}: slice_by ctid is for tables and materialised views of PostgreSQL 14 or"
                    " newer: mend tables.yaml"
                )
            self.by, self.reason = self._table.slice_by, "as tables.yaml says"
        elif full and self._relation.by_ctid:
            self.by, self.reason = "ctid", f"all of a table of {self._relation.blocks} blocks"
        else:
            cost, pass_cost = self._cost(self._date_slices(counts)), one_pass["Total Cost"]
            if self._relation.by_ctid:
                self.by = "date" if cost < pass_cost else "ctid"
            else:
                self.by = "date" if cost <= MAX_OVERHEAD * pass_cost else "none"
            self.reason = f"the planner puts slices by date at {cost:.0f}, one pass at {pass_cost:.0f}"

    def _cost(self, slices: Sequence[Slice]) -> float:
        step = -(-len(slices) // _EXPLAINED) or 1
        some = slices[::step]
        # The whole row, for the date alone could be read from an index.
        source = f"SELECT {self.column} AS {sql.SLICED}, ROW(whole.*) FROM {self._relation.name} AS whole"
        plans = [self._connection.plan(f"SELECT * FROM ({source}) AS source WHERE {one.condition}") for one in some]
        return step * sum(float(plan["Total Cost"]) for plan in plans)

    @property
    def column(self) -> str:
        """What the conditions of the slices are about."""
        return "ctid" if self.by == "ctid" else quote(self._relation.date.name)

    def slices(self, counts: Sequence[Count]) -> list[Slice]:
        """The slices of a read that has these counts, which are not empty."""
        if self.by == "ctid":
            return self._ctid_slices(counts)
        if self.by == "date":
            return self._date_slices(counts)
        return [Slice("TRUE", tuple(count.day for count in counts))]

    def _date_slices(self, counts: Sequence[Count]) -> list[Slice]:
        column = sql.DateColumn(sql.SLICED, self._relation.date.base_type, self._relation.date.timezone)
        rows = sum(count.rows for count in counts)
        slices = []
        for count in counts:
            partition = count.partition
            wanted = self._table.slices or self._wanted(count.rows, self._cores * SLICES_PER_CORE * count.rows // rows)
            conditions = sql.slices(column, partition, wanted) if isinstance(partition, Month) else [column.undated]
            slices += [Slice(condition, (count.day,)) for condition in conditions]
        return slices

    def _wanted(self, rows: int, for_the_cores: int) -> int:
        by_size = -(-rows * self._width // TARGET_FILE_BYTES)
        return max(1, by_size, min(for_the_cores, rows // MIN_ROWS))

    def _ctid_slices(self, counts: Sequence[Count]) -> list[Slice]:
        blocks = self._relation.blocks
        number = self._table.slices or min(self._wanted_of_ctid(counts), max(1, blocks // MIN_BLOCKS))
        cuts = [blocks * index // number for index in range(number)]
        return [_ctid_slice(low, high, counts) for low, high in zip(cuts, [*cuts[1:], None])]

    def _wanted_of_ctid(self, counts: Sequence[Count]) -> int:
        """As many as the cores ask for, more when the files (one for each month of a slice) would be too large."""
        spread = sum(_blocks(count) for count in counts) / max(
            1, self._relation.blocks
        )  # months in a slice, on average
        size = sum(count.rows for count in counts) * self._width
        return max(self._cores * SLICES_PER_CORE, ceil(size / TARGET_FILE_BYTES / max(1.0, spread)))


def _blocks(count: Count) -> int:
    return (count.last_block or 0) - (count.first_block or 0) + 1


def _ctid_slice(low: int, high: Optional[int], counts: Iterable[Count]) -> Slice:
    """The rows in the blocks from `low` to below `high`; the last slice has no end, wherever the table ends."""
    condition = infix(sql.SLICED, ">=", _tid(low))
    if high is not None:
        condition += f" AND {infix(sql.SLICED, '<', _tid(high))}"
    days = tuple(
        count.day
        for count in counts
        if (count.last_block or 0) >= low and (high is None or (count.first_block or 0) < high)
    )
    return Slice(condition, days)


def _tid(block: int) -> str:
    return cast(f"'({block},0)'", "tid")
