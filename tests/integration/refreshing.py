"""A refresh at the level of SQL: decide by the states which months to read, as the job does, and compare all lines.

The raw layer is a dictionary here. Reading goes through the job's own SQL, over psycopg in place of the JVM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg

from spark_scripts.contract import source_state
from spark_scripts.contract.identifiers import parse_table, quote
from spark_scripts.contract.source_state import SourceState
from spark_scripts.contract.tables import Table
from spark_scripts.locking.rewrites import check_unchanged
from spark_scripts.postgres import projections, sql
from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.errors import SourceChangedError, SourceError
from spark_scripts.postgres.server_identity import NoStateError, Server, read_server, wait_flushed
from spark_scripts.postgres.session import CATALOG_PATH, KNOWN, reader_init, table_settings
from spark_scripts.postgres.source import Relation, date_column, read_columns
from spark_scripts.postgres.source_state import IDS, NO_IDS, month_bounds, read_table_state

Lines = Mapping[int, Sequence[str]]
"""Lines of CSV, sorted, by the first day of their month."""


class Session:
    """A session over psycopg that answers as `Connection` does; `begin` takes a snapshot."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        query = "SELECT name FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])"
        known = connection.execute(query, [list(KNOWN)]).fetchall()
        self._init = reader_init([name for (name,) in known], None, table_settings(5, row_security=False))

    def begin(self, isolation: str = "REPEATABLE READ") -> None:
        """End the transaction, and begin another."""
        path = f"SET LOCAL search_path = {CATALOG_PATH}"
        self._connection.execute(f"ROLLBACK; BEGIN ISOLATION LEVEL {isolation}; {self._init}; {path}".encode())
        self.rows("SELECT 1 AS snapshot")

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        """See Connection."""
        text = query.replace("%", "%%").replace("?", "%s") if parameters else query
        try:
            with self._connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
                return cursor.execute(text.encode(), parameters or None).fetchall()
        except psycopg.Error as error:
            raise SourceError(str(error), error.sqlstate or "") from error

    @contextmanager
    def letting_go(self) -> Iterator[None]:
        """See Connection."""
        with self._connection.transaction(force_rollback=True):
            yield

    @property
    def connection(self) -> Connection:
        """The session for those who ask for the job's own class, and use the above of it."""
        return cast("Connection", self)


@dataclass(frozen=True)
class Rule:
    """What decides that a month is unchanged. The defaults are the product's; a test may leave something out."""

    ids: str = IDS
    ignored: frozenset[str] = frozenset()
    flushed: bool = True
    trust_restarts: bool = False

    def difference(self, recorded: SourceState | None, now: SourceState) -> str | None:
        """See `source_state.difference`."""
        then = None if recorded is None else self._without(recorded)
        return source_state.difference(then, self._without(now), trust_restarts=self.trust_restarts)

    def _without(self, state: SourceState) -> SourceState:
        server = {name: value for name, value in state.server.items() if name not in self.ignored}
        definition = {name: value for name, value in state.definition.items() if name not in self.ignored}
        return SourceState(state.rows, state.ids, server, definition)


THE_RULE = Rule()


@dataclass
class Raw:
    """The raw layer of one table: lines and states by month, as `refresh` leaves them."""

    lines: dict[int, list[str]] = field(default_factory=dict)
    states: dict[int, SourceState | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Refreshed:
    """Why months were read again, and which were not; `truth` is the whole table in the same snapshot."""

    changed: dict[int, str]
    unchanged: list[int]
    truth: Lines


def refresh(
    server: Sessions,
    table: Table,
    raw: Raw,
    rule: Rule = THE_RULE,
    around: Callable[[], None] = lambda: None,
    during: Callable[[], None] = lambda: None,
) -> Refreshed:
    """Bring `raw` to what the table holds in a new snapshot.

    `around` runs after the snapshot, `during` when the months to read are known. As the job does, begin again when the
    table was rewritten after the snapshot.
    """
    while True:
        server.reading.begin()
        relation = relation_of(server.reading, table)
        around()
        try:
            server.reading.rows(f"EXPLAIN {sql.select_columns(relation.name, relation.names, 'TRUE')}")
            server.check(relation)
            done = _refreshed(server, table, relation, raw, rule, during)
            server.check(relation)
        except SourceChangedError:
            around = during = lambda: None
            continue
        server.reading.begin()
        return done


def _refreshed(
    server: Sessions, table: Table, relation: Relation, raw: Raw, rule: Rule, during: Callable[[], None]
) -> Refreshed:
    found = read_server(server.reading)
    now = states(server.reading, found, table, relation, rule, raw.lines)
    reasons = {day: rule.difference(raw.states.get(day), state) for day, state in now.items()}
    changed = {day: reason for day, reason in reasons.items() if reason is not None}
    during()
    lines = read_months(server.reading, table, relation, list(changed))
    durable = _durable(server.reading, found, rule)
    for day in changed:
        raw.lines[day] = list(lines.get(day, []))
        raw.states[day] = now[day] if durable else None
    return Refreshed(changed, sorted(now.keys() - changed.keys()), whole_table(server.reading, table, relation))


def _durable(session: Session, server: Server, rule: Rule) -> bool:
    try:
        if rule.flushed:
            wait_flushed(session, server, seconds=0)
    except NoStateError:
        return False
    return True


@dataclass
class Sessions:
    """The two sessions of the job: one with the snapshot, and one that sees what is committed."""

    reading: Session
    now: Session

    @classmethod
    @contextmanager
    def of(cls, dsn: str) -> Iterator[Sessions]:
        """New sessions of a server."""
        with psycopg.connect(dsn, autocommit=True) as one, psycopg.connect(dsn, autocommit=True) as other:
            yield cls(Session(one), Session(other))

    def check(self, relation: Relation) -> None:
        """Raise SourceChangedError when the relation was rewritten since the snapshot."""
        self.now.begin("READ COMMITTED")
        check_unchanged(self.reading.connection, self.now.connection, relation.name)
        self.now.begin("READ COMMITTED")


def relation_of(session: Session, table: Table) -> Relation:
    """The relation of the entry, as the job finds it."""
    name = ".".join(map(quote, parse_table(table.table)))
    columns = read_columns(session.connection, name)
    date = date_column(columns, table.date_column, table.table, table.timezone)  # no zone here is an abbreviation too
    return Relation(name, columns, date, by_ctid=False)


def states(
    session: Session,
    server: Server,
    table: Table,
    relation: Relation,
    rule: Rule = THE_RULE,
    known: Iterable[int] = (),
) -> dict[int, SourceState]:
    """The state of each month that the table has or that is `known`. Raises NoStateError."""
    table_state = read_table_state(session, server, table, relation)
    query = sql.count_by_month(relation.name, relation.date, "TRUE", {}, blocks=False, ids=rule.ids)
    counts = {row["day"]: row for row in session.rows(query)}
    bounds = month_bounds(session, relation.date, {*counts, *known})
    none = {"rows": 0, "ids": NO_IDS}
    found = {day: counts.get(day, none) for day in bounds}
    return {day: table_state.of_month(row["rows"], row["ids"], bounds[day]) for day, row in found.items()}


def read_months(session: Session, table: Table, relation: Relation, days: Sequence[int]) -> Lines:
    """The lines of these months, below the header, by the query of Spark's readers."""
    header = projections.csv_header(relation.columns)
    line = projections.csv_line(relation.columns, table.columns)
    rows = sql.Rows(sql.of_days(relation.date, days), relation.date.month_day, tuple(days))
    found = session.rows(sql.select_lines(relation.name, header, line, "NULL", rows))
    return by_month((row["month_day"], row["line"]) for row in found if not row["header"])


def whole_table(session: Session, table: Table, relation: Relation) -> Lines:
    """The lines of all months."""
    line = projections.csv_line(relation.columns, table.columns)
    found = session.rows(f"SELECT {relation.date.month_day} AS day, {line} AS line FROM {relation.name}")
    return by_month((row["day"], row["line"]) for row in found)


def by_month(lines: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    """The lines of each month, sorted."""
    found: dict[int, list[str]] = defaultdict(list)
    for day, line in lines:
        found[day].append(line)
    return {day: sorted(month) for day, month in found.items()}


def held(raw: Raw) -> dict[int, list[str]]:
    """The lines of the raw layer's months that have some."""
    return {day: lines for day, lines in raw.lines.items() if lines}
