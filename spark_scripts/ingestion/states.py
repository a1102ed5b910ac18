"""The states of a table's months in the snapshot that the job reads; see `spark_scripts/postgres/source_state.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, Union

from spark_scripts.postgres.server_identity import NoStateError
from spark_scripts.postgres.source_state import NO_IDS, TableState, month_bounds, read_table_state

if TYPE_CHECKING:
    from spark_scripts.contract.months import Partition
    from spark_scripts.contract.source_state import SourceState
    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.counts import Count
    from spark_scripts.postgres.source import Relation, Source


@dataclass(frozen=True)
class States:
    """The states of partitions by partition; `reason` says why the table has none, and is empty where it has."""

    by_partition: Mapping[Partition, SourceState] = field(default_factory=dict)
    reason: str = ""

    def of(self, partition: Partition) -> Optional[SourceState]:
        """The state of one partition; None where it has none."""
        return self.by_partition.get(partition)


def table_state(source: Source, table: Table, relation: Relation) -> Union[TableState, NoStateError]:
    """What the states of the table's months have in common, or why they have no state. The table must be locked."""
    if isinstance(source.server, NoStateError):
        return source.server
    try:
        return read_table_state(source.connection, source.server, table, relation)
    except NoStateError as error:
        return error


def month_states(
    source: Source, relation: Relation, common: Union[TableState, NoStateError], counts: Sequence[Count]
) -> States:
    """The states of the partitions that were counted."""
    if isinstance(common, NoStateError):
        return States(reason=str(common))
    bounds = month_bounds(source.connection, relation.date, [each.day for each in counts])
    return States(
        {
            each.partition: common.of_month(each.rows, each.ids or NO_IDS, bounds[each.day])
            for each in counts
            if each.day in bounds
        }
    )
