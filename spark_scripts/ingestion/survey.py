"""The survey of a table before it is read: the rows of each month, the size of the table, and how to cut the reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional, Union

from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.ingestion.states import table_state
from spark_scripts.lake import spark_io
from spark_scripts.postgres import sql
from spark_scripts.postgres.counts import Count, count
from spark_scripts.postgres.projections import lossy_conditions
from spark_scripts.postgres.server_identity import NoStateError
from spark_scripts.postgres.slicing import SlicePlan

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.ingestion.context import JobContext
    from spark_scripts.locking.hold import Hold
    from spark_scripts.postgres.source import Relation
    from spark_scripts.postgres.source_state import TableState


@dataclass(frozen=True)
class Survey:
    """What the source has of a table, in the snapshot that the job reads.

    `counts` are the partitions with rows: of the whole table when `full`, else of the months that were asked for and of
    the rows without a month. `state` is what the states of the months have in common, or the reason why they have none.
    """

    relation: Relation
    counts: Mapping[Partition, Count]
    plan: SlicePlan
    full: bool
    state: Union[TableState, NoStateError]

    def count(self, partition: Partition) -> Count:
        """The count of one partition, which may have no rows."""
        return self.counts.get(partition, Count(partition, 0))


def survey(job: JobContext, table: Table, relation: Relation, hold: Hold, months: Optional[Sequence[Month]]) -> Survey:
    """Count the rows of `months`, of all months when None, and of the rows without a month; choose the slices by that.

    The table is locked meanwhile. Raises what `Hold.locked` raises, and InvalidInputError when the table cannot be cut
    as its entry says.
    """
    condition = "TRUE" if months is None else sql.in_partitions(relation.date, [*months, UNDATED])
    lossy = lossy_conditions(relation.columns, table.treated) if table.format != "csv" else {}
    by_block = relation.by_ctid and table.slice_by in (None, "ctid")
    connection = job.source.connection
    with hold.locked(condition):
        relation = job.source.measured(relation)
        state = table_state(job.source, table, relation)
        ids = not isinstance(state, NoStateError)
        counts = count(connection, relation, condition, lossy, blocks=by_block, ids=ids)
        plan = SlicePlan.chosen(
            connection,
            table,
            relation,
            list(counts.values()),
            condition,
            cores=spark_io.cores(job.spark),
            full=months is None,
        )
    return Survey(relation, counts, plan, full=months is None, state=state)


def narrowed(job: JobContext, table: Table, hold: Hold, found: Survey, counts: Sequence[Count]) -> Survey:
    """The survey for a read of `counts` alone: with some of the months, other slices may be the cheapest."""
    read = [each for each in counts if each.rows]
    if not read or len(read) == len(found.counts):
        return found
    relation = found.relation
    condition = sql.in_partitions(relation.date, [each.partition for each in read])
    with hold.locked(condition):
        plan = SlicePlan.chosen(
            job.source.connection,
            table,
            relation,
            read,
            condition,
            cores=spark_io.cores(job.spark),
            full=False,
        )
    return replace(found, plan=plan, full=False)
