"""The sample tables of the local account's own database."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

_SCRIPT = Path(__file__).with_name("sample.sql")
_MARK = "sample tables were loaded"


def load_sample(dsn: str) -> bool:
    """Load the sample tables with the owner's `dsn`. False when they have been loaded before, whatever became of them.

    One transaction: a load that is interrupted leaves nothing.
    """
    with psycopg.connect(dsn) as connection:
        database = sql.Identifier(connection.info.dbname)
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        if row == (_MARK,):
            return False
        connection.execute(_SCRIPT.read_bytes())
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(_MARK)))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE public.mockrecord")
        connection.execute('VACUUM ANALYZE sales."Orders"')
    return True
