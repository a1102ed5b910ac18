"""The sample tables of the local database. Their rows reach the day on which the account starts."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import psycopg
from psycopg import sql

_TABLES, _ROWS = (Path(__file__).with_name(name) for name in ("sample_tables.sql", "sample_rows.sql"))
_MARK = "sample tables were loaded"
_LAST = date(2024, 12, 31)
"""The last day of the 24 months of sample rows. After it every day has the same number of rows."""

_SITTINGS, _SITTINGS_A_DAY = 200_000, 100
_ORDERS, _ORDERS_A_DAY = 50_000, 25


def load_sample(dsn: str, through: date) -> bool:
    """Load the sample tables as their owner, by `dsn`, with rows to the end of the day `through`.

    Returns False when they were loaded before: then the rows of the days since are added, unless the user has changed
    the tables. The load is one transaction, so an interrupted one leaves nothing behind.
    """
    with psycopg.connect(dsn) as connection:
        loaded = _loaded_through(connection)
        if loaded is None:
            connection.execute(_TABLES.read_bytes())
        elif loaded >= through:
            return False
        try:
            with connection.transaction():
                _load_rows(connection, loaded, through)
        except psycopg.Error:
            if loaded is None:
                raise
            return False  # the user has changed or dropped the tables
    _vacuum(dsn)
    return loaded is None


def _load_rows(connection: psycopg.Connection, after: date | None, through: date) -> None:
    before, days = max(((after or _LAST) - _LAST).days, 0), max((through - _LAST).days, 0)
    numbers = {
        "first_sitting": _SITTINGS + _SITTINGS_A_DAY * before + 1 if after else 1,
        "last_sitting": _SITTINGS + _SITTINGS_A_DAY * days,
        "first_order": _ORDERS + _ORDERS_A_DAY * before + 1 if after else 1,
        "last_order": _ORDERS + _ORDERS_A_DAY * days,
    }
    script = _ROWS.read_text(encoding="utf-8")
    for name, number in numbers.items():
        script = script.replace(f"{{{name}}}", str(number))
    connection.execute(script.encode())
    database, mark = sql.Identifier(connection.info.dbname), f"{_MARK} through {through}"
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(mark)))


def _loaded_through(connection: psycopg.Connection) -> date | None:
    """The last day with sample rows, None before the sample is loaded."""
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    match = re.fullmatch(rf"{_MARK}(?: through (.*))?", row[0] or "") if row else None
    if match is None:
        return None
    return date.fromisoformat(match[1]) if match[1] else _LAST  # an earlier release loaded 24 months


def _vacuum(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE public.mockrecord")
        connection.execute('VACUUM ANALYZE sales."Orders"')
