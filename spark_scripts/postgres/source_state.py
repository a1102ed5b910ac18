"""The state of a month in the source, which shows whether the month has changed since it was ingested.

PostgreSQL writes the id of the transaction that made it into every row version (`xmin`). The state of a month is the
number of its rows, the sum of `hashtextextended(xmin, tableoid)` over them, the identity of the server's history, and
digests of all else that a value's text depends on. Where two states are equal, the month holds the same rows.

The proof. Let S be the snapshot of the recorded state and T the one of today, of one table in one history of one
server, so one of them sees whatever the other sees, and more; let it be T.
1. All rows of a transaction become visible at once, those of its subtransactions too. If T sees a row version and S
   does not, S sees nothing of the transaction that made it. So no row that S sees carries its id.
2. So a new row version gives the month a pair of id and table that it did not have. The table is part of the pair
   because a partition may be attached with rows that an old transaction wrote.
3. Where the month has no new row version, the rows of T are among those of S. They are the same when the count is.
   (The sum changes as well when rows are gone. The count is a second witness, and the reason that people read.)
4. The month of a row, and the text of its values, follow from the row version and from what the digests hold.

What is left: two different sets of pairs have the same sum with a probability of 2^-64; and ids have 32 bits, so a
transaction 2^32 later may carry the id of rows that the month has lost, and write exactly as many.
Neither a sum of ids will do (rows of transactions 101 and 103, replaced by two rows of 102, have the same sum), nor
"no id at or above the old horizon" (frozen rows keep their ids, which look recent once the counter has gone round).

It assumes:
- The snapshot holds for the data: `locking/rewrites.py` finds TRUNCATE, COPY FREEZE and other rewrites.
- What was visible is durable: `wait_flushed` before a state is recorded.
- One history: the timeline is in the state, and so is the role of the server. A standby and its primary make commits
  visible in different orders, so neither of two such snapshots need see what the other sees.
- Nobody puts back the storage below a running server, or, with trust_restarts, below one that is started again.
- No cast to text, conversion or setting of an extension is made and taken back while the months are read.
It errs towards ingesting: a restore, a failover or a tool that rewrites rows (pg_repack, VACUUM FULL after ADD COLUMN
with a default) makes states differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR

from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.source_state import SourceState
from spark_scripts.contract.tables import Table
from spark_scripts.postgres.errors import SourceError
from spark_scripts.postgres.pg_catalog import call, cast
from spark_scripts.postgres.queries import Queries
from spark_scripts.postgres.server_identity import NoStateError, Server
from spark_scripts.postgres.source import Relation
from spark_scripts.postgres.sql import DateColumn, literal
from spark_scripts.postgres.table_definition import digest, read_definition

_HASH = call("hashtextextended", f'{cast("xmin", "text")} COLLATE pg_catalog."C"', cast("tableoid", "int8"))

IDS = cast(call("sum", _HASH), "text")
"""The aggregate that stands beside the count of a month. The sum is a numeric, so it cannot overflow.

The hash has 64 bits and a seed, and parallel plans may compute it; `age(xmin)` forbids them. Text of digits is the
same in every encoding, and COLLATE "C" spares the look at the database's collation.
"""

NO_IDS = "0"
"""`IDS` of a month without rows."""

_MARGIN = 180  # minutes; no clock was set back or forth by more, but across the date line, where the bound moves too

_SYNTAX_OR_ACCESS = "42"  # the class of SQLSTATEs of a catalog that has other columns or functions

_OID = "SELECT to_regclass(?)::oid::text AS oid"


@dataclass(frozen=True)
class TableState:
    """What the states of a table's months have in common in one snapshot; see `SourceState`."""

    server: Mapping[str, str]
    definition: Mapping[str, str]

    def of_month(self, rows: int, ids: str, bounds: str = "") -> SourceState:
        """The state of the month with that count, `IDS` and `month_bounds`."""
        return SourceState(rows, ids, self.server, {**self.definition, "bounds": bounds})


def read_table_state(connection: Queries, server: Server, table: Table, relation: Relation) -> TableState:
    """The state of the relation of `table`, in the snapshot of `connection`.

    Raises NoStateError, which says why, where no state may be recorded or trusted, and SourceError when it is lost.
    """
    try:
        with connection.letting_go():
            [found] = connection.rows(_OID, relation.name)
            definition = read_definition(connection, table, relation, found["oid"])
    except SourceError as error:
        if not error.state.startswith(_SYNTAX_OR_ACCESS):
            raise
        raise NoStateError(f"the server's catalog does not answer: {error}") from error
    return TableState({**server.facts, "relation": found["oid"]}, definition)


def month_bounds(connection: Queries, date: DateColumn, days: Iterable[int]) -> dict[int, str]:
    """The bounds of the months, by `DateColumn.month_day`, as the server's time zone data has them.

    For a date column without a zone they never change. The clock may pass a bound twice (America/St_Johns was set back
    at 00:01 until 2011), so they hold the minutes around it that are before it. Months in a
    zone that Python's calendar does not reach are left out: they have no state.
    """
    every = sorted(set(days))
    if not date.zoned or date.timezone == "UTC":
        return dict.fromkeys(every, "")
    bounds = {day: "" for day in every if day == UNDATED.epoch_day}
    dated = [day for day in every if _in_calendar(Partition.of_epoch_day(day))]
    with connection.letting_go():
        found = connection.rows(_bounds_query(date.timezone), ",".join(map(str, dated)))
    return {**bounds, **{row["day"]: digest(row["bounds"]) for row in found}}


def _in_calendar(partition: Partition) -> bool:
    return isinstance(partition, Month) and 0 < partition.year < MAXYEAR


def _bounds_query(timezone: str) -> str:
    """For each month the instants of its bounds, and the minutes around each whose wall time is before it."""
    zone = f"AT TIME ZONE {literal(timezone)}"
    return f"""
    SELECT day::int AS day, string_agg(concat_ws(' ', instant, minutes), ', ' ORDER BY bound) AS bounds
    FROM unnest(string_to_array(?, ',')) AS day CROSS JOIN LATERAL (
        SELECT date '1970-01-01' + day::int + number * interval '1 month' AS bound FROM generate_series(0, 1) AS number
    ) AS bounds CROSS JOIN LATERAL (SELECT bound {zone} AS instant) AS instants CROSS JOIN LATERAL (
        SELECT md5(string_agg(CASE WHEN (instant + minute * interval '1 minute') {zone} < bound THEN '1' ELSE '0' END,
                              '' ORDER BY minute)) AS minutes
        FROM generate_series({-_MARGIN}, {_MARGIN}) AS minute
    ) AS around GROUP BY day
    """
