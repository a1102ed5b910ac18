"""The settings of the job's sessions in PostgreSQL: of the driver's own connections and of Spark's readers.

They apply whatever the role, the database or the server sets: some decide the text of a value, and limits that protect
an application from its own sessions would end a job that reads for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from spark_scripts.contract.tables import LOCK_TIMEOUT
from spark_scripts.postgres.sql import literal

FORMATS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",  # shortest text that reads back to the same float (before PostgreSQL 12: 17 digits)
    "bytea_output": "hex",
}
"""The settings that decide the text of a value."""

_NO_LIMITS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",  # since PostgreSQL 14
    "transaction_timeout": "0",  # since PostgreSQL 17
}

_KEEP_ALIVES = {
    # Seconds. NAT gateways and load balancers of AWS drop a connection that is silent for 350 s. While a query runs for
    # longer, the server's keep-alives are the only traffic.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
    # Ends the query of a client that is gone, and its locks with it; since PostgreSQL 14, not on every platform.
    "client_connection_check_interval": "10s",
}

SESSION = {
    **_NO_LIMITS,
    **_KEEP_ALIVES,
    **FORMATS,
    "lock_timeout": f"{LOCK_TIMEOUT}s",
    # PostgreSQL then refuses to read a table whose policies would hide rows, as it does for pg_dump.
    "row_security": "off",
}
"""The settings of every session; a server that is too old for one of them does without it."""

_READERS = {
    # Each slice is the work of one task, and its rows keep their order: see `sql.select_lines`.
    "max_parallel_workers_per_gather": "0",
    "enable_async_append": "off",  # since PostgreSQL 14
}

KNOWN = (*SESSION, *_READERS)
"""The names of all settings that the job may set."""

CATALOG_PATH = "pg_catalog, pg_temp"
"""The `search_path` of queries over the catalog: no other schema can shadow a name in them."""


def table_settings(lock_timeout: int, *, row_security: bool) -> dict[str, str]:
    """The settings that a table's entry decides. `lock_timeout` is in seconds."""
    return {"lock_timeout": f"{lock_timeout}s", "row_security": "on" if row_security else "off"}


def set_local(settings: Mapping[str, str]) -> str:
    """The statements that make `settings` those of the open transaction."""
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())


def reader_init(
    known: Sequence[str],
    snapshot: Optional[str],
    for_table: Mapping[str, str],
    search_path: Optional[str] = None,
) -> str:
    """The first statements of each of Spark's readers: use the snapshot, make the settings, set `search_path`.

    `known` are the settings that the server has. With `search_path` None the session keeps its own.
    """
    # A limit of the role must not end what follows; SET, unlike a query, may come before the snapshot.
    statements = ["SET LOCAL statement_timeout = '0'"]
    if snapshot is not None:
        statements += ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", f"SET TRANSACTION SNAPSHOT '{snapshot}'"]
    settings = {**SESSION, **_READERS, **for_table}
    statements.append(set_local({name: settings[name] for name in settings if name in known}))
    if search_path is not None:
        statements.append(f"SELECT pg_catalog.set_config('search_path', {literal(search_path)}, true)")
    return "; ".join(statements)
