"""How a read is cut into slices, one for each task of Spark.

`ctid`: ranges of blocks, in one pass over the table, whatever its order and its indexes. `date`: spans of time, for
tables with an index on the date column or with partitions by it. `none`: one slice, for views and foreign tables
without such an index, which PostgreSQL would read whole for each slice. PostgreSQL's planner decides which is the
cheapest: it knows the indexes, their correlation with the order of the rows, the partitions, and what a view reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import quote
from spark_scripts.contract.months import Month, Partition
from spark_scripts.contract.wording import counted
from spark_scripts.postgres import sql
from spark_scripts.postgres.pg_catalog import cast, infix

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.counts import Count
    from spark_scripts.postgres.queries import Planner
    from spark_scripts.postgres.source import Relation

TARGET_FILE_BYTES = 128 * 2**20
"""The largest size that a file should have, by the planner's estimate of a row's width."""

MIN_BLOCKS = 4096
"""Fewer blocks (32 MiB, at PostgreSQL's 8 KiB) are not worth a slice of their own."""

MIN_ROWS = 25_000
"""Fewer rows of a month are not worth a slice of their own."""

SLICES_PER_CORE = 2
"""More slices than cores, so that a slow one does not leave the others idle for long."""

MAX_OVERHEAD = 2.0
"""Slices by date may cost so many times one pass, where nothing else lets the cores read in parallel."""

_EXPLAINED = 24
"""The planner is asked for the costs of so many slices by date, chosen evenly, in place of all."""


@dataclass(frozen=True)
class Slice:
    """The rows that meet `condition`, a condition on the column `sliced`. Only months of `days` are among them."""

    condition: str
    days: tuple[int, ...]


@dataclass(frozen=True)
class SlicePlan:
    """How the reads of one table are cut in one execution: `by` ctid, date or none, and the `reason` for that."""

    by: str
    reason: str
    cuts: Cuts

    @classmethod
    def chosen(
        cls,
        connection: Planner,
        table: Table,
        relation: Relation,
        counts: Sequence[Count],
        condition: str,
        *,
        cores: int,
        full: bool,
    ) -> SlicePlan:
        """The cheapest plan for a read of `condition`, which has these counts; `full` when that is the whole table.

        `relation` is measured. Raises InvalidInputError when the table cannot be cut as its entry says.
        """
        one_pass = connection.plan(sql.select_columns(relation.name, relation.names, condition))
        cuts = Cuts(relation, cores, table.slices, one_pass["Plan Width"])
        if table.slice_by:
            if table.slice_by == "ctid" and not relation.by_ctid:
                raise InvalidInputError(
                    f"table {table.name}: slice_by ctid is for tables and materialised views of PostgreSQL 14 or"
                    " newer: fix tables.yaml"
                )
            return cls(table.slice_by, "as tables.yaml says", cuts)
        if full and relation.by_ctid:
            return cls("ctid", f"all of a table of {counted(relation.blocks, 'block')}", cuts)
        cost, pass_cost = _cost(connection, relation, cuts.by_date(counts)), one_pass["Total Cost"]
        reason = f"the planner puts slices by date at {cost:.0f}, one pass at {pass_cost:.0f}"
        if relation.by_ctid:
            return cls("date" if cost < pass_cost else "ctid", reason, cuts)
        return cls("date" if cost <= MAX_OVERHEAD * pass_cost else "none", reason, cuts)

    @property
    def column(self) -> str:
        """The column that the conditions of the slices are about."""
        return "ctid" if self.by == "ctid" else quote(self.cuts.relation.date.name)

    def slices(self, counts: Sequence[Count]) -> list[Slice]:
        """The slices of a read that has these counts, which are not empty."""
        if self.by == "ctid":
            return self.cuts.by_ctid(counts)
        if self.by == "date":
            return self.cuts.by_date(counts)
        return [Slice("TRUE", tuple(count.day for count in counts))]


def _cost(connection: Planner, relation: Relation, slices: Sequence[Slice]) -> float:
    """What the planner says that slices by date cost, all together."""
    step = -(-len(slices) // _EXPLAINED) or 1
    some = slices[::step]
    # All columns that are read, because the date alone could be read from an index.
    row = f"ROW({', '.join(map(quote, relation.names))})"
    source = f"SELECT {quote(relation.date.name)} AS {sql.SLICED}, {row} FROM {relation.name}"
    plans = [connection.plan(f"SELECT * FROM ({source}) AS source WHERE {one.condition}") for one in some]
    return step * sum(float(plan["Total Cost"]) for plan in plans)


@dataclass(frozen=True)
class Cuts:
    """Where a table is cut: into how many slices, and between which dates or blocks.

    `cores` is how many tasks run at once, `asked` the number of slices in the table's entry, `width` the planner's
    estimate of a row's bytes.
    """

    relation: Relation
    cores: int
    asked: Optional[int]
    width: int

    def by_date(self, counts: Sequence[Count]) -> list[Slice]:
        """Slices of equal spans of time within each month."""
        column = sql.DateColumn(sql.SLICED, self.relation.date.base_type, self.relation.date.timezone)
        rows = sum(count.rows for count in counts)
        slices = []
        for count in counts:
            number = self.asked or self._number(count.rows, self.cores * SLICES_PER_CORE * count.rows // rows)
            slices += [Slice(condition, (count.day,)) for condition in _spans(column, count.partition, number)]
        return slices

    def by_ctid(self, counts: Sequence[Count]) -> list[Slice]:
        """Slices of equally many blocks."""
        blocks = self.relation.blocks
        number = self.asked or min(self._number_by_ctid(counts), max(1, blocks // MIN_BLOCKS))
        cuts = [blocks * index // number for index in range(number)]
        return [_ctid_slice(low, high, counts) for low, high in zip(cuts, [*cuts[1:], None])]

    def _number(self, rows: int, for_the_cores: int) -> int:
        by_size = -(-rows * self.width // TARGET_FILE_BYTES)
        return max(1, by_size, min(for_the_cores, rows // MIN_ROWS))

    def _number_by_ctid(self, counts: Sequence[Count]) -> int:
        """Enough for the cores; more when the files, one for each month of a slice, would be too large."""
        months_per_slice = sum(_blocks(count) for count in counts) / max(1, self.relation.blocks)  # on average
        size = sum(count.rows for count in counts) * self.width
        return max(self.cores * SLICES_PER_CORE, ceil(size / TARGET_FILE_BYTES / max(1.0, months_per_slice)))


def _spans(column: sql.DateColumn, partition: Partition, number: int) -> list[str]:
    return sql.slices(column, partition, number) if isinstance(partition, Month) else [column.undated]


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
