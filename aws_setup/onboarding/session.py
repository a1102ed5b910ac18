"""The session in which `suggest` asks PostgreSQL: read only, each query a transaction of its own, with limits of time.

It answers the queries of the job's own modules (`spark_scripts.postgres`), so that both decide by the same rules.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from aws_setup.errors import UsageError
from spark_scripts.contract import tls
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.postgres.hints import with_hint
from spark_scripts.postgres.session import CATALOG_PATH, FORMATS

QUERY_SECONDS = 10
"""How long one query may take, unless everything is to be counted."""

_CONNECT_SECONDS = 10
_LOCK_SECONDS = 2
_PROGRAM = "aws_setup suggest"

_SERVER = """
SELECT pg_catalog.current_setting('TimeZone') AS timezone, pg_catalog.current_setting('search_path') AS path,
       pg_catalog.quote_ident(current_user) AS role, pg_catalog.current_database() AS database
"""


class RefusedError(DataLakeError):
    """PostgreSQL refused a query or gave it up; the message is PostgreSQL's, in one line, with what to do."""


class LostError(DataLakeError):
    """The connection was lost."""


class Session:
    """A connection to the source as the job's user.

    `timezone` is the TimeZone that the server gives to this user, `role` the user's name as SQL writes it, `database`
    the name of the database.
    """

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], *, exact: bool) -> None:
        self._connection = connection
        self.database = "the source database"
        [server] = self.rows(_SERVER)
        self.timezone: str = server["timezone"]
        self.role: str = server["role"]
        self.database = server["database"]
        self._role_path: str = server["path"]
        settings = {
            "default_transaction_read_only": "on",
            "search_path": CATALOG_PATH,
            "row_security": "off",  # as the job: an error, instead of some of the rows
            "lock_timeout": f"{_LOCK_SECONDS}s",
            "statement_timeout": "0" if exact else f"{QUERY_SECONDS}s",
            **FORMATS,
        }
        for name, value in settings.items():
            self.rows("SELECT pg_catalog.set_config(?, ?, false) AS value", name, value)

    @classmethod
    @contextmanager
    def open(cls, source: Database | str, *, exact: bool) -> Iterator[Session]:
        """Connect to a database of a secret, or by a DSN; close at the end. With `exact` queries may take any time.

        Raises UsageError naming the server and what to do.
        """
        with _conninfo(source) as conninfo:
            try:
                connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row)
            except psycopg.OperationalError as error:
                server = "the source database" if isinstance(source, str) else source
                raise UsageError(f"cannot connect to {server}: {_reason(error)}") from None  # the cause has the DSN
        with connection:
            yield cls(connection, exact=exact)

    def rows(self, query: str, *parameters: str | list[str]) -> list[dict[str, Any]]:
        """The result of a query over the catalog, each row by column name; `?` stands for a parameter.

        Raises RefusedError, LostError.
        """
        if parameters:
            query = query.replace("%", "%%").replace("?", "%s")
        try:
            return self._connection.execute(query.encode(), parameters or None).fetchall()
        except psycopg.Error as error:
            if self._connection.closed:
                raise LostError(f"the connection to {self.database} was lost: {_reason(error)}") from error
            raise RefusedError(_reason(error)) from error

    def rows_of_user(self, query: str) -> list[dict[str, Any]]:
        """Like `rows`, for a query over the user's relations, whose functions see the role's own `search_path`."""
        with self._as_user():
            return self.rows(query)

    def plan(self, query: str) -> dict[str, Any]:
        """The topmost node of the planner's plan for `query` over the user's relations. It reads no rows."""
        with self._as_user():
            [explained] = self.rows(f"EXPLAIN (FORMAT JSON) {query}")
        node: dict[str, Any] = explained["QUERY PLAN"][0]["Plan"]
        return node

    def by_index(self, query: str) -> list[dict[str, Any]] | None:
        """The result of `query` where indexes alone answer it; None where PostgreSQL would scan a table."""
        self.rows("SELECT pg_catalog.set_config('enable_seqscan', 'off', false) AS value")
        try:
            plan = self.plan(query)
            return None if any("Seq Scan" in node for node in _nodes(plan)) else self.rows_of_user(query)
        finally:
            self.rows("SELECT pg_catalog.set_config('enable_seqscan', 'on', false) AS value")

    @contextmanager
    def _as_user(self) -> Iterator[None]:
        change = "SELECT pg_catalog.set_config('search_path', ?, false) AS value"
        self.rows(change, self._role_path)
        try:
            yield
        finally:
            self.rows(change, CATALOG_PATH)


def _nodes(plan: dict[str, Any]) -> Iterator[str]:
    """The types of all nodes of a plan."""
    yield plan["Node Type"]
    for below in plan.get("Plans", []):
        yield from _nodes(below)


def _reason(error: psycopg.Error) -> str:
    return with_hint(error.sqlstate or "", " ".join((error.diag.message_primary or str(error)).split()))


@contextmanager
def _conninfo(source: Database | str) -> Iterator[str]:
    """What libpq connects by. It takes the certificates of a secret from a file, which lives for the connecting."""
    common: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "application_name": _PROGRAM}
    if isinstance(source, str):
        yield make_conninfo(source, **common)
        return
    pem = source.sslrootcert not in ("", tls.SYSTEM)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") if pem else nullcontext() as file:
        if file is not None:
            file.write(source.sslrootcert)
            file.flush()
        trusted = file.name if file else source.sslrootcert
        given = {"sslrootcert": trusted, "options": source.options}
        yield make_conninfo(
            host=source.host,
            port=source.port,
            dbname=source.name,
            user=source.user,
            password=source.password,
            sslmode=source.sslmode,
            **{name: value for name, value in given.items() if value},
            **common,
        )
