"""The source as of one snapshot: its transaction and its catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional, Union

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import parse_table, quote
from spark_scripts.postgres import sql
from spark_scripts.postgres.connection import DRIVER, REPEATABLE_READ, Connection
from spark_scripts.postgres.errors import SourceChangedError, SourceError
from spark_scripts.postgres.projections import SourceColumn
from spark_scripts.postgres.server_identity import ASK_TO_FLUSH, NoStateError, Server, read_server, wait_flushed
from spark_scripts.postgres.session import reader_init, table_settings
from spark_scripts.postgres.zones import resolved

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.database import Database
    from spark_scripts.contract.tables import Table

ReadSecret = Callable[[], "Database"]

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
# PostgreSQL reads the whole table for each range of ctids.
HEAP = f"""
{_TREE}
SELECT bool_and(relkind IN ('r', 'p', 'm') AND coalesce(amname, 'heap') = 'heap'
                AND relnamespace IS DISTINCT FROM to_regnamespace('_timescaledb_internal'))
           AND current_setting('server_version_num')::int >= 140000 AS by_ctid,
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

    `by_ctid` says whether ranges of ctids can read its rows. `comment` is the database's. `Source.measured` adds
    `blocks`, the number of blocks of the largest partition, `bytes`, the size with indexes, and `rows`, PostgreSQL's
    estimate; views have none of them.
    """

    name: str
    columns: Sequence[SourceColumn]
    date: sql.DateColumn
    by_ctid: bool
    comment: Optional[str] = None
    blocks: int = 0
    bytes: Optional[int] = None
    rows: Optional[int] = None


class Source:
    """One transaction with one snapshot, which Spark's readers join.

    It holds back the server's xmin until it ends. `snapshot` is None where the server exports none. `server` is the
    server behind the snapshot, or the reason why no month has a state in it.
    """

    def __init__(
        self,
        spark: SparkSession,
        connection: Connection,
        database: Database,
        execution: str,
        read_secret: Optional[ReadSecret],
    ) -> None:
        self._spark = spark
        self.connection = connection
        self.database = database
        self.execution = execution
        self._read_secret = read_secret
        self.snapshot: Optional[str] = None
        self.server: Union[Server, NoStateError] = NoStateError("there is no snapshot yet")

    @classmethod
    @contextmanager
    def connect(
        cls, spark: SparkSession, database: Database, execution: str, read_secret: Optional[ReadSecret] = None
    ) -> Iterator[Source]:
        """Connect, take the snapshot, and close at the end. Raises SourceError naming the server and what to do.

        `read_secret` reads the secret again, after a rotation.
        """
        with Connection.open(spark, database, execution, REPEATABLE_READ) as connection:
            source = cls(spark, connection, database, execution, read_secret)
            source._export()
            yield source

    def read_secret_again(self) -> bool:
        """Let the next readers log in with the secret's current user and password. Returns whether these are new."""
        if self._read_secret is None:
            return False
        secret = self._read_secret()
        database = replace(self.database, user=secret.user, password=secret.password)
        changed, self.database = database != self.database, database
        return changed

    def renew(self) -> None:
        """Release the snapshot and take a new one. Raises SourceError."""
        self.connection.begin(REPEATABLE_READ)
        self._export()

    def _export(self) -> None:
        try:
            self.snapshot = self.connection.rows("SELECT pg_export_snapshot() AS id")[0]["id"]
        except SourceError as error:  # some standbys and poolers
            self.snapshot = None
            self.connection.begin(REPEATABLE_READ)
            print(f"no common snapshot for the parallel readers: {error}", flush=True)
        self.server = self._identified()

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
        if isinstance(self.server, Server):
            try:
                wait_flushed(self.connection, self.server, ask=self._ask_to_flush)
                self.server = replace(self.server, position=None)
            except NoStateError as error:
                print(f"months have no state of the source: {error}", flush=True)
                self.server = error

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
            [heap] = self.connection.rows(HEAP, name, name)
            self._check_name(name, schema, relation, now)
        if not columns:
            raise InvalidInputError(
                f"{self.database} has no table {table.table}, or hides it from this user: fix tables.yaml or GRANT"
                " USAGE on its schema"
            )
        date = date_column(columns, table.date_column, table.table, table.timezone)
        date = resolved(self.connection, date, table.name)
        unknown = sorted(set(table.columns) - {column.name for column in columns})
        if unknown:
            raise InvalidInputError(f"table {table.name}: no column {', '.join(unknown)} to clean: fix tables.yaml")
        # A row that is updated moves to another block: without a snapshot it would be read twice, or not at all.
        by_ctid = heap["by_ctid"] and self.snapshot is not None
        return Relation(name, columns, date, by_ctid, heap["comment"])

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
