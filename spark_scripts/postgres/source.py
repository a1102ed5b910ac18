"""The source as of one snapshot: its transaction and its catalog."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Optional, Union

from spark_scripts.contract import privacy
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import parse_table, quote
from spark_scripts.postgres import sql
from spark_scripts.postgres.connection import DRIVER, REPEATABLE_READ, Connection
from spark_scripts.postgres.errors import SourceChangedError, SourceError
from spark_scripts.postgres.login import Login, ReadSecret
from spark_scripts.postgres.projections import SourceColumn
from spark_scripts.postgres.server_identity import ASK_TO_FLUSH, NoStateError, Server, read_server, wait_flushed
from spark_scripts.postgres.session import reader_init, table_settings
from spark_scripts.postgres.zones import resolved

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.database import Database
    from spark_scripts.contract.tables import Table

_COLUMNS = """
WITH RECURSIVE declared AS (
    SELECT attnum, attname, atttypid, atttypmod, attrelid FROM pg_attribute
    WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped
), resolved AS (
    SELECT attnum, atttypid AS typid, atttypmod AS typmod FROM declared
    UNION ALL
    SELECT attnum, typbasetype, typtypmod FROM resolved JOIN pg_type ON pg_type.oid = typid WHERE typtype = 'd'
)
SELECT attname AS name, format_type(atttypid, atttypmod) AS type, format_type(typid, typmod) AS base_type,
       col_description(attrelid, attnum) AS comment
FROM declared JOIN resolved USING (attnum) JOIN pg_type ON pg_type.oid = typid
WHERE typtype <> 'd' ORDER BY attnum
"""

_NAMED = """
SELECT class.oid::int8 AS oid FROM pg_class AS class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ? AND relname = ?
"""

_TREE = """
WITH RECURSIVE tree AS (
    SELECT to_regclass(?)::oid AS relation
    UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relation
)
"""
"""The table with its partitions and children."""

# Compressed chunks of TimescaleDB have no ctid, nor have tables of some access methods. Before version 14
# PostgreSQL reads the whole table for each range of ctids. Grants on columns do not cover the column ctid.
HEAP = f"""
{_TREE}
SELECT bool_and(relkind IN ('r', 'p', 'm') AND coalesce(amname, 'heap') = 'heap'
                AND relnamespace IS DISTINCT FROM to_regnamespace('_timescaledb_internal'))
           AND current_setting('server_version_num')::int >= 140000
           AND has_table_privilege(to_regclass(?), 'SELECT') AS by_ctid,
       (SELECT obj_description(to_regclass(?), 'pg_class')) AS comment
FROM tree JOIN pg_class ON pg_class.oid = relation LEFT JOIN pg_am ON pg_am.oid = relam
"""

# The functions for sizes lock the relation.
SIZE = f"""
{_TREE}
SELECT coalesce(max(pg_relation_size(relation)), 0) / current_setting('block_size')::int AS blocks,
       nullif(sum(pg_total_relation_size(relation)), 0)::int8 AS bytes,
       sum(reltuples) FILTER (WHERE relkind IN ('r', 'm') AND reltuples >= 0)::int8 AS rows
FROM tree JOIN pg_class ON pg_class.oid = relation
"""


@dataclass(frozen=True)
class Relation:
    """A relation of the source as the catalog knows it; `name` is quoted.

    `columns` are those that may leave the database, `left_out` the names of the others. `pepper` is the fingerprint of
    the pepper under which columns are hashed, "" where none is.
    `by_ctid` says whether ranges of ctids can read its rows. `comment` is the database's. `Source.measured` adds
    `blocks`, the number of blocks of the largest partition, `bytes`, the size with indexes, and `rows`, PostgreSQL's
    estimate; views have none of them.
    """

    name: str
    columns: Sequence[SourceColumn]
    date: sql.DateColumn
    by_ctid: bool
    comment: Optional[str] = None
    left_out: tuple[str, ...] = ()
    pepper: str = ""
    blocks: int = 0
    bytes: Optional[int] = None
    rows: Optional[int] = None

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]


@dataclass
class _Snapshot:
    """A snapshot, which several transactions may share: its `id`, and the server behind it. One thread waits for it."""

    id: Optional[str] = None
    server: Union[Server, NoStateError] = field(default_factory=lambda: NoStateError("there is no snapshot yet"))
    turn: threading.Lock = field(default_factory=threading.Lock)


class Source:
    """One transaction with one snapshot, which Spark's readers and other transactions join.

    It holds back the server's xmin until it ends. One thread uses it at a time.
    """

    def __init__(self, spark: SparkSession, connection: Connection, login: Login, execution: str) -> None:
        self._spark = spark
        self._login = login
        self._snapshot = self._common = _Snapshot()
        self.connection = connection
        self.execution = execution

    @property
    def database(self) -> Database:
        """The database with the login that the next readers use."""
        return self._login.database

    @property
    def snapshot(self) -> Optional[str]:
        """The id of the snapshot; None where the server exports none."""
        return self._snapshot.id

    @property
    def server(self) -> Union[Server, NoStateError]:
        """The server behind the snapshot, or the reason why no month has a state in it."""
        return self._snapshot.server

    @classmethod
    @contextmanager
    def connect(
        cls, spark: SparkSession, database: Database, execution: str, read_secret: Optional[ReadSecret] = None
    ) -> Iterator[Source]:
        """Connect, take the snapshot, and close at the end. Raises SourceError naming the server and what to do.

        `read_secret` reads the secret again, after a rotation.
        """
        with Connection.open(spark, database, execution, REPEATABLE_READ) as connection:
            source = cls(spark, connection, Login(database, read_secret), execution)
            source._export()
            source._common = source._snapshot
            yield source

    @contextmanager
    def joined(self) -> Iterator[Source]:
        """Another transaction, with a connection of its own, under the same snapshot; closed at the end.

        Where the server exports no snapshot, it has one of its own. Raises SourceError.
        """
        with Connection.open(
            self._spark, self.database, self.execution, REPEATABLE_READ, self._common.id
        ) as connection:
            source = Source(self._spark, connection, self._login, self.execution)
            source._snapshot = source._common = self._common
            yield source

    def renew(self) -> None:
        """Release the snapshot and take a new one, which no other transaction shares. Raises SourceError."""
        self.connection.begin(REPEATABLE_READ)
        self._export()

    def rejoin(self) -> None:
        """Begin again under the snapshot that `joined` shared. Raises SourceError."""
        self.connection.begin(REPEATABLE_READ, self._common.id)
        self._snapshot = self._common

    def read_secret_again(self, refused: Database) -> bool:
        """Let the next readers log in as the secret says. Returns whether that is another login than `refused`."""
        return self._login.renewed(refused)

    def _export(self) -> None:
        found = _Snapshot()
        try:
            found.id = self.connection.rows("SELECT pg_export_snapshot() AS id")[0]["id"]
        except SourceError as error:  # some standbys and poolers
            self.connection.begin(REPEATABLE_READ)
            print(f"no common snapshot for the parallel readers: {error}", flush=True)
        self._snapshot = found
        found.server = self._identified()

    def _identified(self) -> Union[Server, NoStateError]:
        """What `server` is; the snapshot comes first, because its commits must be before the position in the WAL."""
        if self.snapshot is None:
            return NoStateError("the server exports no snapshot, so the rows may be others than those counted")
        try:
            return read_server(self.connection)
        except NoStateError as error:
            return error

    def wait_durable(self) -> None:
        """Wait, once per snapshot, until what it sees would survive a crash; else `server` becomes the reason."""
        with self._snapshot.turn:
            if isinstance(self.server, Server):
                try:
                    wait_flushed(self.connection, self.server, ask=self._ask_to_flush)
                    self._snapshot.server = replace(self.server, position=None)
                except NoStateError as error:
                    print(f"months have no state of the source: {error}", flush=True)
                    self._snapshot.server = error

    def _ask_to_flush(self) -> None:
        """Ask in a transaction of its own; this connection cannot end its own. The server may refuse one more."""
        try:
            with Connection.open(self._spark, self.database, self.execution) as connection:
                connection.rows(ASK_TO_FLUSH)
        except SourceError as error:
            print(f"the server cannot be asked to flush its WAL: {error}", flush=True)

    def reader_properties(self, table: Table) -> dict[str, str]:
        """The JDBC properties of a reader of `table`: the login, and the first statements of each session.

        Spark and pgjdbc ask for the types first, with names that carry no schema (`WHERE 1=0`). Where the role's path
        has a schema before pg_catalog, sessions begin with pg_catalog first, and then take the role's own path.
        """
        settings, path = session_settings(table), self.connection.path_before_catalog
        startup = {name: settings.get(name, value) for name, value in self.connection.startup.items()}
        return {
            **self.database.properties(self.execution, startup),
            **({} if path is None else {"currentSchema": f"pg_catalog, {path}"}),
            "driver": DRIVER,
            "sessionInitStatement": reader_init(self.connection.known, self.snapshot, settings, path),
        }

    def relation(self, table: Table, now: Connection) -> Relation:
        """What the catalog says about the relation that `table` names, as of the snapshot.

        Raises InvalidInputError when there is no such relation, or the entry does not fit it; SourceChangedError when
        another relation has the name `now`.
        """
        schema, relation = parse_table(table.table)
        name = f"{quote(schema)}.{quote(relation)}"
        with self.connection.undone():
            self._check_name(name, schema, relation, now)
            columns = read_columns(self.connection, name)
            [heap] = self.connection.rows(HEAP, name, name, name)
            self._check_name(name, schema, relation, now)
        if not columns:
            raise InvalidInputError(
                f"{self.database} has no table {table.table}, or hides it from this user: fix tables.yaml or GRANT"
                " USAGE on its schema"
            )
        date = date_column(columns, table.date_column, table.table, table.timezone)
        date = resolved(self.connection, date, table.name)
        left_out = _left_out(table, [column.name for column in columns])
        pepper = self._fingerprint(table)
        # A row that is updated moves to another block: without a snapshot it would be read twice, or not at all.
        by_ctid = heap["by_ctid"] and self.snapshot is not None
        columns = leaving(table, columns)
        return Relation(name, columns, date, by_ctid, heap["comment"], left_out, pepper)

    def _fingerprint(self, table: Table) -> str:
        """The fingerprint of the pepper; "" where the table has no hashed column."""
        hashed, pepper = privacy.hashed(table.columns), self.database.pepper
        if hashed and not pepper:
            raise InvalidInputError(
                f"{table.name}: {', '.join(hashed)} cannot be hashed, because the database secret has no"
                f" {privacy.PEPPER_FIELD}: make one with `python -m aws_setup secret --new-pepper`"
            )
        return privacy.fingerprint(pepper) if hashed else ""

    def measured(self, relation: Relation) -> Relation:
        """The relation, which is locked, with its size."""
        [size] = self.connection.rows(SIZE, relation.name)
        return replace(relation, **size)

    def _check_name(self, name: str, schema: str, relation: str, now: Connection) -> None:
        """Raise SourceChangedError when the name means another relation in the snapshot than it does now."""
        then = [row["oid"] for row in self.connection.rows(_NAMED, schema, relation)]
        with now.letting_go():
            current = [row["oid"] for row in now.rows(_NAMED, schema, relation)]
        if then != current:
            raise SourceChangedError(name, "another relation has its name" if current else "it has lost its name")


def session_settings(table: Table) -> dict[str, str]:
    """The settings of a session that reads `table`."""
    return table_settings(table.lock_timeout, row_security=table.row_security)


def read_columns(connection: Connection, name: str) -> list[SourceColumn]:
    """The columns of the relation `name` (quoted), as `connection` sees the catalog; empty without such a relation."""
    return [SourceColumn(**column) for column in connection.rows(_COLUMNS, name)]


def leaving(table: Table, columns: Sequence[SourceColumn]) -> list[SourceColumn]:
    """Those of `columns` that may leave the database."""
    left_out = table.left_out([column.name for column in columns])
    return [column for column in columns if column.name not in left_out]


def _left_out(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of the table that stay in the database. Raises InvalidInputError for names that it does not have."""
    for key, named in (("columns", table.columns), ("only", table.only or ())):
        unknown = sorted(set(named) - set(names))
        if unknown:
            raise InvalidInputError(
                f"{table.name}: {table.table} has no column {', '.join(unknown)}, named in `{key}`: fix tables.yaml"
            )
    return table.left_out(names)


def date_column(columns: list[SourceColumn], name: str, table: str, timezone: str) -> sql.DateColumn:
    """The column that decides the months. Raises InvalidInputError when it is missing or holds no dates."""
    types = {column.name: column.base_type for column in columns}
    if name not in types:
        raise InvalidInputError(f"table {table} has no column {name}: date_column must be one of {', '.join(types)}")
    base_type = _without_precision(types[name])
    if base_type not in sql.DATE_TYPES:
        raise InvalidInputError(
            f"column {name} of {table} is {types[name]}: date_column must be a date, timestamp or timestamptz"
        )
    return sql.DateColumn(name, base_type, timezone)


def _without_precision(base_type: str) -> str:
    return f"timestamp{base_type[base_type.index(')') + 1 :]}" if base_type.startswith("timestamp(") else base_type
