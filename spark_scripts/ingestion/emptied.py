"""A table that reads as empty must not empty its months in the raw layer, unless its entry allows that.

A table that is being loaded again reads as empty, and so does one whose rows a policy or a view hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spark_scripts.contract.errors import IngestionError
from spark_scripts.postgres import sql

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.ingestion.context import JobContext
    from spark_scripts.lake.current import CurrentManifests
    from spark_scripts.locking.hold import Hold
    from spark_scripts.postgres.counts import Count
    from spark_scripts.postgres.source import Relation


def check_not_emptied(
    job: JobContext,
    table: Table,
    relation: Relation,
    hold: Hold,
    current: CurrentManifests,
    counts: Sequence[Count],
) -> None:
    """Raise IngestionError when the whole table has no rows and partitions of `counts` have some in the raw layer."""
    if table.allow_empty or any(each.rows for each in counts) or not _reads_as_empty(job, relation, hold):
        return
    held = {manifest.month: manifest.rows for manifest in current.all()}
    before = {each.partition.key: held.get(each.partition.key, 0) for each in counts}
    lost = [f"{key} ({rows} rows)" for key, rows in before.items() if rows]
    if lost:
        raise IngestionError(
            f"{table.table} has no rows at all, but months of the raw layer have some: {', '.join(lost)}."
            " Nothing was published. If the table is meant to be empty, set allow_empty: true in its entry"
        )


def _reads_as_empty(job: JobContext, relation: Relation, hold: Hold) -> bool:
    with hold.locked("TRUE"):
        return not job.source.connection.rows_of_user(sql.any_row(relation.name))
