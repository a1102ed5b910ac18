"""The driver's own connections to PostgreSQL.

They go through the JDBC driver that Spark reads with (one driver, one set of credentials, one TLS configuration), over
the gateway to the driver's JVM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spark_scripts.errors import IngestionError
from spark_scripts.jvm import JAVA_ERRORS, java_text, sql_state

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.database import Database

DRIVER = "org.postgresql.Driver"

_REPEATABLE_READ = 4  # java.sql.Connection.TRANSACTION_REPEATABLE_READ
_HINTS = {
    "28P01": "wrong user or password: set them with `python -m aws_setup secret`",
    "28000": "the server does not let this user in: see its pg_hba.conf",
    "3D000": "there is no such database: mend POSTGRES_DB with `python -m aws_setup secret`",
    "08001": "is PostgreSQL running, and do the subnets and security groups of the job reach it?",
    "08006": "the connection broke: is PostgreSQL up?",
    "42501": "grant the job's user SELECT on the table and USAGE on its schema",
}
"""What to do, by SQLSTATE (PostgreSQL documentation, appendix A)."""


class SourceError(IngestionError):
    """PostgreSQL refused or failed."""


class Connection:
    """A connection with an open transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, spark: SparkSession, database: Database, execution: str) -> Iterator[Connection]:
        """Connect, and close at the end, rolling back. Raises SourceError naming the server and what to do.

        PostgreSQL shows `execution` as the application name, by which others learn who holds a lock.
        """
        jvm: Any = spark._jvm
        # DriverManager sees drivers of --jars only through Spark's wrapper, which this registers.
        jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry.register(DRIVER)
        properties = jvm.java.util.Properties()
        for key, value in database.properties(execution).items():
            properties.setProperty(key, value)
        with _explained(f"cannot connect to {database}"):
            connection = jvm.java.sql.DriverManager.getConnection(database.url, properties)
        try:
            opened = cls(connection)
            # It idles while Spark reads; a server-wide limit would end it, and snapshot and locks with it.
            opened.execute("SET idle_in_transaction_session_timeout = 0")
            with _explained("a transaction cannot be begun"):
                connection.setAutoCommit(False)
            yield opened
        finally:
            _close(connection)

    def repeatable_read(self) -> None:
        """Begin a transaction whose statements all see the snapshot of the first one. Settings made before stay."""
        with _explained("PostgreSQL refused REPEATABLE READ"):
            self._connection.commit()
            self._connection.setTransactionIsolation(_REPEATABLE_READ)

    def rollback(self) -> None:
        """Begin anew."""
        with _explained("the connection is lost"):
            self._connection.rollback()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the statements within when one fails; the snapshot stays."""
        with _explained("the connection is lost"):
            savepoint = self._connection.setSavepoint()
        try:
            yield
        except BaseException:
            try:
                self._connection.rollback(savepoint)
            except JAVA_ERRORS as error:  # what led here is the reason to tell
                print(f"rolling back: {java_text(error)}", flush=True)
            raise

    @contextmanager
    def catalog_path(self) -> Iterator[None]:
        """Look every name up in pg_catalog meanwhile, whatever the role's own search_path is."""
        [path] = self.rows("SELECT pg_catalog.current_setting('search_path') AS own")
        self.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        yield
        self.rows("SELECT pg_catalog.set_config('search_path', ?, true) AS own", path["own"])

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        """The result of `query`, each row by column name, as JSON carries it. `?` stands for a text parameter."""
        rows: list[dict[str, Any]] = json.loads(
            self._text(
                f"SELECT coalesce(pg_catalog.json_agg(result), '[]')::pg_catalog.text FROM ({query}) AS result",
                *parameters,
            )
        )
        return rows

    def plan(self, query: str) -> dict[str, Any]:
        """The topmost node of the planner's plan for `query`, with the estimates of the whole."""
        [explained] = json.loads(self._text(f"EXPLAIN (FORMAT JSON) {query}"))
        node: dict[str, Any] = explained["Plan"]
        return node

    def _text(self, query: str, *parameters: str) -> str:
        with _explained("PostgreSQL refused a query"):
            statement = self._connection.prepareStatement(query)
            for index, parameter in enumerate(parameters, start=1):
                statement.setString(index, parameter)
            result = statement.executeQuery()
            result.next()
            text: str = result.getString(1)
            statement.close()
        return text

    def execute(self, command: str) -> None:
        """Run a statement that has no result."""
        with _explained(f"PostgreSQL refused {command}"):
            statement = self._connection.createStatement()
            statement.execute(command)
            statement.close()


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn a Java exception into a SourceError with PostgreSQL's message and what to do."""
    try:
        yield
    except JAVA_ERRORS as error:
        hint = _HINTS.get(sql_state(error) or "")
        message = " ".join(java_text(error).replace("org.postgresql.util.PSQLException: ", "").split())
        raise SourceError(f"{doing}: {message}" + (f" ({hint})" if hint else "")) from error


def _close(connection: Any) -> None:
    try:
        connection.close()
    except JAVA_ERRORS as error:
        print(f"closing the connection: {java_text(error)}", flush=True)
