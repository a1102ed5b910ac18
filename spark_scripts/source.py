"""The driver's own connection to PostgreSQL: catalog, counts, lock and snapshot.

It goes through the JDBC driver that Spark reads with (one driver, one set of credentials, one TLS configuration),
over the gateway to the driver's JVM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

from py4j.protocol import Py4JJavaError

from spark_scripts import sql
from spark_scripts.errors import IngestionError, InvalidInputError
from spark_scripts.identifiers import parse_table, quote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.database import Database

DRIVER = "org.postgresql.Driver"

_REPEATABLE_READ = 4  # java.sql.Connection.TRANSACTION_REPEATABLE_READ
_HINTS = {
    "28P01": "wrong user or password: set them with `python -m aws_setup secret`",
    "28000": "the server lets this user not in: see its pg_hba.conf",
    "3D000": "there is no such database: mend POSTGRES_DB with `python -m aws_setup secret`",
    "08001": "is PostgreSQL running, and do the subnets and security groups of the job reach it?",
    "08006": "the connection broke: is PostgreSQL up?",
    "42501": "grant the job's user SELECT on the table and USAGE on its schema",
}
"""What to do, by SQLSTATE (PostgreSQL documentation, appendix A)."""

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

_LOCK_HOLDER = """
SELECT coalesce(nullif(application_name, ''), 'process ' || pid) AS holder
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(?, 0)
"""


class SourceError(IngestionError):
    """PostgreSQL refused or failed."""


class LockedError(IngestionError):
    """Another execution writes the table."""


class Source:
    """One transaction with one snapshot of the source, and the locks of the tables that are being written.

    Closing it (or losing the process) releases the locks. A long ingest holds back the server's xmin for as long.
    """

    def __init__(self, connection: Any, database: Database, execution: str) -> None:
        self._connection = connection
        self.database = database
        self.execution = execution
        self.snapshot: Optional[str] = None

    @classmethod
    @contextmanager
    def connect(cls, spark: SparkSession, database: Database, execution: str) -> Iterator[Source]:
        """Connect, take the snapshot, and close at the end. Raises SourceError naming the server and what to do."""
        jvm: Any = spark._jvm
        # DriverManager sees drivers of --jars only through Spark's wrapper, which this registers.
        jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry.register(DRIVER)
        properties = jvm.java.util.Properties()
        for key, value in database.properties(execution).items():
            properties.setProperty(key, value)
        with _explained(f"cannot connect to {database}"):
            connection = jvm.java.sql.DriverManager.getConnection(database.url, properties)
        try:
            source = cls(connection, database, execution)
            source._begin()
            yield source
        finally:
            _close(connection)

    def _begin(self) -> None:
        # The connection idles while Spark reads; a server-wide limit would end it, and the snapshot with it.
        self._execute("SET idle_in_transaction_session_timeout = 0")
        for name, value in sql.SETTINGS.items():
            self._execute(f"SET {name} = '{value}'")
        self._connection.setTransactionIsolation(_REPEATABLE_READ)
        self._connection.setAutoCommit(False)
        try:
            self.snapshot = self.rows("SELECT pg_export_snapshot() AS id")[0]["id"]
        except SourceError as error:  # some standbys and poolers
            self._connection.rollback()
            print(f"no common snapshot for the parallel readers: {error}", flush=True)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the statements within when one fails, locks included; the snapshot stays."""
        savepoint = self._connection.setSavepoint()
        try:
            yield
        except BaseException:
            with _explained("the connection is lost"):
                self._connection.rollback(savepoint)
            raise

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        """The result of `query`, each row by column name, as JSON carries it. `?` stands for a text parameter."""
        with _explained("PostgreSQL refused a query"):
            statement = self._connection.prepareStatement(
                f"SELECT coalesce(json_agg(result), '[]')::text FROM ({query}) AS result"
            )
            for index, parameter in enumerate(parameters, start=1):
                statement.setString(index, parameter)
            result = statement.executeQuery()
            result.next()
            text = result.getString(1)
            statement.close()
        rows: list[dict[str, Any]] = json.loads(text)
        return rows

    def _execute(self, command: str) -> None:
        with _explained(f"PostgreSQL refused {command}"):
            statement = self._connection.createStatement()
            statement.execute(command)
            statement.close()

    def columns(self, table: str) -> list[sql.SourceColumn]:
        """The columns of `table` (as in tables.yaml). Raises InvalidInputError when there is no such table."""
        columns = self.rows(_COLUMNS, relation(table))
        if not columns:
            raise InvalidInputError(
                f"{self.database} has no table {table}, or hides it from this user: mend tables.yaml or GRANT USAGE"
                " on its schema"
            )
        return [sql.SourceColumn(**column) for column in columns]

    def lock(self, key: str) -> None:
        """Become the one writer of `key` until the end of the transaction. Raises LockedError naming the holder."""
        if self.rows("SELECT pg_try_advisory_xact_lock(hashtextextended(?, 0)) AS mine", key)[0]["mine"]:
            return
        holders = [row["holder"] for row in self.rows(_LOCK_HOLDER, key)]
        raise LockedError(
            f"{key} is being written by execution {' and '.join(holders) or 'unknown'}: start again when it has ended"
        )


def relation(table: str) -> str:
    """`table` (as in tables.yaml) with both parts quoted."""
    schema, name = parse_table(table)
    return f"{quote(schema)}.{quote(name)}"


def date_column(columns: list[sql.SourceColumn], name: str, table: str, timezone: str) -> sql.DateColumn:
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


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn a Java exception into a SourceError with PostgreSQL's message and what to do."""
    try:
        yield
    except Py4JJavaError as error:
        exception = error.java_exception
        if not hasattr(exception, "getSQLState"):
            raise SourceError(f"{doing}: {exception.toString()}") from error
        hint = _HINTS.get(exception.getSQLState() or "")
        message = " ".join(str(exception.getMessage()).split())
        raise SourceError(f"{doing}: {message}" + (f" ({hint})" if hint else "")) from error


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Py4JJavaError as error:
        print(f"closing the connection: {error.java_exception.getMessage()}")
