"""How many more sessions the server has for the job."""

from __future__ import annotations

from typing import Optional

from spark_scripts.postgres.errors import SourceError
from spark_scripts.postgres.queries import Queries

# Every role sees the pid, the role and the database of every session. `reserved_connections` is PostgreSQL 16's.
_ROOM = """
SELECT least(
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user)
        - count(*) FILTER (WHERE usename = session_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
        - count(*) FILTER (WHERE datname = current_database()),
    (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) - count(*)) / 2
)::int AS room
FROM pg_stat_activity WHERE datid IS NOT NULL
"""
"""The limits of the role and of the database, and half of what the server has left: the rest is the application's."""

_SYNTAX_OR_ACCESS = "42"  # the class of SQLSTATEs of a catalog that has other columns or functions


def room(connection: Queries) -> Optional[int]:
    """How many sessions the job may open beside those that it has; None where the server does not tell.

    Raises SourceError when the connection is lost.
    """
    try:
        with connection.letting_go():
            return max(0, int(connection.rows(_ROOM)[0]["room"]))
    except SourceError as error:
        if not error.state.startswith(_SYNTAX_OR_ACCESS):
            raise
        return None
