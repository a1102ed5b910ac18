"""The driver's own connections to PostgreSQL.

They go through the JDBC driver that Spark reads with (one driver, one set of credentials, one TLS configuration), over
the gateway to the driver's JVM.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

from spark_scripts.driver.jvm import JAVA_ERRORS, java_text, sql_state
from spark_scripts.postgres import session
from spark_scripts.postgres.errors import ConnectionLostError, SourceError
from spark_scripts.postgres.hints import with_hint

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.database import Database

DRIVER = "org.postgresql.Driver"

READ_COMMITTED, REPEATABLE_READ = "READ COMMITTED", "REPEATABLE READ"

_PATH = "SELECT pg_catalog.current_setting('search_path') AS own, (pg_catalog.current_schemas(true))[1] AS first"

_SERVER = """
SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS standby,
       (SELECT json_agg(name) FROM pg_settings WHERE name = ANY (string_to_array(?, ','))) AS known
"""

_IN_FAILED_TRANSACTION = "25P02"

_OPTIONS_REFUSED = {"08P01", "0A000", "22023", "42704"}
"""The SQLSTATEs with which servers (an unknown setting), PgBouncer and RDS Proxy refuse startup options."""


class Connection:
    """A connection with an open transaction. Queries look names up in pg_catalog, unless they say otherwise.

    `pid` is the process of its session, `standby` whether the server is a hot standby, `known` the settings of
    `session.KNOWN` that the server has, `startup` the settings that it accepts at the start of a session.
    `path_before_catalog` is the role's own `search_path` where a schema stands before pg_catalog in it, else None.
    Threads take turns.
    """

    def __init__(self, connection: Any, startup: Mapping[str, str]) -> None:
        self._connection = connection
        self._turn = threading.RLock()
        self.startup = startup
        self.pid = 0
        self.standby = False
        self.known: list[str] = []
        self.path_before_catalog: Optional[str] = None
        self._role_path = ""
        self._lost: Optional[ConnectionLostError] = None

    @classmethod
    @contextmanager
    def open(
        cls,
        spark: SparkSession,
        database: Database,
        execution: str,
        isolation: str = READ_COMMITTED,
        snapshot: Optional[str] = None,
    ) -> Iterator[Connection]:
        """Connect and begin a transaction, under `snapshot` if there is one; close at the end, rolling back.

        PostgreSQL shows `execution` as the application name, by which others learn who holds a lock. Raises
        SourceError naming the server and what to do.
        """
        jvm: Any = spark._jvm
        # DriverManager sees drivers of --jars only through Spark's wrapper, which this registers.
        jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry.register(DRIVER)
        connection, startup = _connected(jvm, database, execution)
        try:
            opened = cls(connection, startup)
            with _explained("a transaction cannot be begun"):
                connection.setAutoCommit(False)
            opened.begin(isolation, snapshot)
            yield opened
        finally:
            _close(connection)

    def begin(self, isolation: str, snapshot: Optional[str] = None) -> None:
        """End the transaction, and begin one with the settings of `session.SESSION`.

        With `snapshot`, one that another transaction has exported, it sees what that one sees.
        """
        joined = "" if snapshot is None else f"; SET TRANSACTION SNAPSHOT '{snapshot}'"
        with self._turn:
            with self._remembering("the connection is lost"):
                self._connection.rollback()
            # A limit of the role must not end what follows; SET, unlike a query, may come before the isolation level.
            self.execute(f"SET LOCAL statement_timeout = 0; SET TRANSACTION ISOLATION LEVEL {isolation}{joined}")
            if not self.known:
                self._learn()
            self.execute(f"SET LOCAL search_path = {session.CATALOG_PATH}")
            self.set_local({name: value for name, value in session.SESSION.items() if name in self.known})

    def _learn(self) -> None:
        [path] = self.rows(_PATH)
        self._role_path = path["own"]
        self.path_before_catalog = path["own"] if path["first"] != "pg_catalog" else None
        self.execute(f"SET LOCAL search_path = {session.CATALOG_PATH}")
        [server] = self.rows(_SERVER, ",".join(session.KNOWN))
        self.pid, self.standby = server["pid"], server["standby"]
        refused = session.SESSION.keys() - self.startup.keys() if self.startup else set()
        self.known = [name for name in server["known"] if name not in refused]

    def set_local(self, settings: Mapping[str, str]) -> None:
        """Make these the settings of the transaction, until it ends or is rolled back to an earlier savepoint."""
        self.execute(session.set_local(settings))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Roll back to this point at the end: the locks and settings since then go, the snapshot stays."""
        with self._turn, self._remembering("the connection is lost"):
            savepoint = self._connection.setSavepoint()
        try:
            yield
        except BaseException:
            try:
                self._roll_back_to(savepoint)
            except SourceError as error:  # the first error is the one to report
                print(f"rolling back: {error}", flush=True)
            raise
        self._roll_back_to(savepoint)

    def _roll_back_to(self, savepoint: Any) -> None:
        with self._turn, self._remembering("the connection is lost"):
            self._connection.rollback(savepoint)
            self._connection.releaseSavepoint(savepoint)  # else the next one is nested in it, and so on

    @contextmanager
    def letting_go(self) -> Iterator[None]:
        """Like `undone`, for a few short queries: other threads wait.

        A query over the catalog locks its tables until the transaction ends. VACUUM FULL of one of them would wait for
        that, and everybody else would wait for VACUUM FULL.
        """
        with self._turn, self.undone():
            yield

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        """The result of a query over the catalog, each row by column name, as JSON carries it.

        `?` stands for a text parameter.
        """
        rows: list[dict[str, Any]] = json.loads(
            self._text(
                "SELECT coalesce(pg_catalog.json_agg(result), '[]'::pg_catalog.json)::pg_catalog.text"
                f" FROM ({query}) AS result",
                *parameters,
            )
        )
        return rows

    def rows_of_user(self, query: str) -> list[dict[str, Any]]:
        """Like `rows`, for a query over the user's relations, whose functions see the role's own `search_path`."""
        with self._as_user():
            return self.rows(query)

    def plan(self, query: str) -> dict[str, Any]:
        """The topmost node of the planner's plan for `query` over the user's relations, which it locks."""
        with self._as_user():
            [explained] = json.loads(self._text(f"EXPLAIN (FORMAT JSON) {query}"))
        node: dict[str, Any] = explained["Plan"]
        return node

    @contextmanager
    def _as_user(self) -> Iterator[None]:
        """Look names up along the role's own `search_path`. An error needs no reset: it ends the transaction."""
        change = "SELECT pg_catalog.set_config('search_path', ?, true)"
        self._text(change, self._role_path)
        yield
        self._text(change, session.CATALOG_PATH)

    def keep_alive(self) -> None:
        """Send a query, unless another one is running. Raises ConnectionLostError, with the first reason each time."""
        if self._lost is not None:
            raise self._lost
        if self._turn.acquire(blocking=False):
            try:
                self._text("SELECT ''")
            except SourceError as error:
                if error.state != _IN_FAILED_TRANSACTION:
                    self._lost = ConnectionLostError(str(error), error.state)
                    raise self._lost from error
            finally:
                self._turn.release()

    def is_lost(self) -> bool:
        """Whether `keep_alive` finds the connection lost."""
        try:
            self.keep_alive()
        except ConnectionLostError:
            return True
        return False

    @property
    def busy(self) -> bool:
        """Whether another thread is running a query."""
        free = self._turn.acquire(blocking=False)
        if free:
            self._turn.release()
        return not free

    def _text(self, query: str, *parameters: str) -> str:
        with self._turn, self._remembering("PostgreSQL refused a query"):
            statement = self._connection.prepareStatement(query)
            try:
                for index, parameter in enumerate(parameters, start=1):
                    statement.setString(index, parameter)
                result = statement.executeQuery()
                result.next()
                text: str = result.getString(1)
            finally:
                statement.close()
        return text

    def execute(self, command: str) -> None:
        """Run statements that have no result."""
        with self._turn, self._remembering(f"PostgreSQL refused {command}"):
            statement = self._connection.createStatement()
            try:
                statement.execute(command)
            finally:
                statement.close()

    @contextmanager
    def _remembering(self, doing: str) -> Iterator[None]:
        """Like `_explained`; and where the server ended the session, the first reason is kept for `keep_alive`."""
        try:
            with _explained(doing):
                yield
        except SourceError as error:
            if self._lost is None and self._connection.isClosed():
                self._lost = ConnectionLostError(str(error), error.state)
            raise


def _connected(jvm: Any, database: Database, execution: str) -> tuple[Any, Mapping[str, str]]:
    """A new connection, and the settings that the server accepts at the start of a session.

    From the start they also apply before the session's first SET, such as to Spark's own query for the columns.
    """
    startup = dict(session.SESSION)
    while True:
        properties = jvm.java.util.Properties()
        for key, value in database.properties(execution, startup).items():
            properties.setProperty(key, value)
        # A pooler may run each transaction in another session, which has none of the prepared statements.
        properties.setProperty("prepareThreshold", "0")
        try:
            with _explained(f"cannot connect to {database}"):
                return jvm.java.sql.DriverManager.getConnection(database.url, properties), startup
        except SourceError as error:
            if not startup or error.state not in _OPTIONS_REFUSED:
                raise
            refused = [name for name in startup if name in str(error)] or list(startup)
            startup = {name: value for name, value in startup.items() if name not in refused}


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn a Java exception into a SourceError with PostgreSQL's message and what to do."""
    try:
        yield
    except JAVA_ERRORS as error:
        state = sql_state(error)
        message = " ".join(java_text(error).replace("org.postgresql.util.PSQLException: ", "").split())
        raise SourceError(f"{doing}: {with_hint(state, message)}", state) from error


def _close(connection: Any) -> None:
    try:
        connection.close()
    except JAVA_ERRORS as error:
        print(f"closing the connection: {java_text(error)}", flush=True)
