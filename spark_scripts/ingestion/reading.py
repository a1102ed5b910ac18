"""Reading months into staging, as the survey of the table says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spark_scripts.lake.staging import Stage, Staged
from spark_scripts.postgres import small_tables, sql
from spark_scripts.postgres.errors import REFUSED_LOGIN, SourceError

if TYPE_CHECKING:
    from spark_scripts.contract.months import Partition
    from spark_scripts.contract.tables import Table
    from spark_scripts.ingestion.context import JobContext
    from spark_scripts.ingestion.survey import Survey
    from spark_scripts.locking.hold import Hold
    from spark_scripts.postgres.counts import Count

BATCH_ROWS = 1_000_000
"""Months are read together up to so many rows: fewer Spark jobs, and a backfill still commits as it goes."""


def batches(counts: Sequence[Count], found: Survey) -> Iterator[list[Count]]:
    """The partitions to read at once: all of them, or BATCH_ROWS at a time where slices by date serve.

    In Parquet the columns depend on `lossy`, so a batch holds only partitions with the same `lossy`.
    """
    limit = BATCH_ROWS if found.plan.by == "date" else sum(each.rows for each in counts)
    alike: dict[tuple[str, ...], list[Count]] = {}
    for each in counts:
        alike.setdefault(each.lossy, []).append(each)
    for group in alike.values():
        batch: list[Count] = []
        for each in group:
            if batch and sum(one.rows for one in batch) + each.rows > limit:
                yield batch
                batch = []
            batch.append(each)
        yield batch


class Reading:
    """Reads partitions of one table into staging."""

    def __init__(self, job: JobContext, table: Table, hold: Hold, stage: Stage, found: Survey) -> None:
        self._source = job.source
        self._reporter = job.reporter
        self._table = table
        self._hold = hold
        self._stage = stage
        self._found = found

    def staged(self, counts: Sequence[Count]) -> dict[Partition, Staged]:
        """Stage the partitions of `counts`, those with rows; the others are not in the result.

        When the password was refused and the secret has a new one, reads again with that. Raises what `Hold.locked`
        and `Stage.write` raise.
        """
        counts = [each for each in counts if each.rows]
        if not counts:
            return {}
        plan = self._found.plan
        locked = "TRUE" if self._found.full else self._in_partitions(counts)
        login = self._source.database
        try:
            with self._hold.locked(locked):
                rows, slices = self._condition(counts), plan.slices(counts)
                condition = "TRUE" if plan.by == "date" else rows  # slices by date restrict the rows themselves
                small = rows if small_tables.fit(self._table, self._found.relation, counts) else None
                staged = self._stage.write(counts, small, condition, plan.column, slices)
        except SourceError as error:
            if error.state not in REFUSED_LOGIN or not self._source.read_secret_again(login):
                raise
            self._reporter.say(f"{self._table.name}: the secret has changed, reading with its new values")
            return self.staged(counts)
        return {each.partition: found for each, found in zip(counts, staged)}

    def _condition(self, counts: Sequence[Count]) -> str:
        """The condition of the rows of these partitions. Under one snapshot a full read meets no others."""
        if not self._found.full:
            return self._in_partitions(counts)
        if len(counts) == len(self._found.counts) and self._source.snapshot is not None:
            return "TRUE"
        return sql.of_days(self._found.relation.date, [each.day for each in counts])

    def _in_partitions(self, counts: Sequence[Count]) -> str:
        return sql.in_partitions(self._found.relation.date, [each.partition for each in counts])
