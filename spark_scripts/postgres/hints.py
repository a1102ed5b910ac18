"""What to do about PostgreSQL's errors, by SQLSTATE, or by their text where only that is known."""

from __future__ import annotations

import re
from typing import NamedTuple

from spark_scripts.contract import tls


class _Hint(NamedTuple):
    """`states` are SQLSTATEs (PostgreSQL documentation, appendix A); `words` match the English message."""

    states: tuple[str, ...]
    words: str
    text: str


_HINTS = (
    _Hint(
        ("40001",),
        "conflict with recovery",
        "the standby cancelled the query to apply changes of its primary: raise max_standby_streaming_delay or set"
        " hot_standby_feedback = on at the standby, or ingest from the primary",
    ),
    _Hint(
        (),
        r"snapshot \S+ does not exist|invalid snapshot identifier",
        "the readers reached another server than the driver: give the host name of one instance, not a name of"
        " several, such as a reader endpoint",
    ),
    _Hint(
        ("42501",),
        "row-level security",
        "a policy would hide rows from the job's user: ALTER ROLE … BYPASSRLS, or set row_security: on in the table's"
        " entry to ingest only what the policies show",
    ),
    _Hint(
        ("22021",),
        'invalid byte sequence for encoding "UTF8"',
        "the database, whose encoding is SQL_ASCII, holds bytes that are not UTF-8: mend the rows, or name in"
        " tables.yaml a view that converts them",
    ),
    _Hint(("28P01",), "password authentication failed", "set user and password with `python -m aws_setup secret`"),
    _Hint(("28000",), "pg_hba.conf", "the server does not let this user in: see its pg_hba.conf"),
    _Hint(("3D000",), "", "there is no such database: correct POSTGRES_DB with `python -m aws_setup secret`"),
    _Hint(
        ("53300",),
        "too many (clients|connections)|remaining connection slots",
        "the job needs two connections and one more for each task that runs at once, and ingests tables side by side"
        " only where there are more: raise max_connections, or let fewer tasks run with a lower MaximumExecutors",
    ),
    _Hint(
        ("57P01", "57P02", "57P03"),
        "terminating connection due to administrator command|the database system is",
        "the server was shut down, is starting, or somebody ended the session: start again when it is up",
    ),
    _Hint(("08001",), "", "is PostgreSQL running, and do the subnets and security groups of the job reach it?"),
    _Hint(
        ("08006", "08003", "08000"),
        "An I/O error occurred|connection has been closed",
        "the connection broke: did the server restart or fail over, or does something between cut connections?",
    ),
    _Hint(("42501",), "permission denied", "grant the job's user SELECT on the table and USAGE on its schema"),
)


def hint(state: str, message: str) -> str:
    """What to do about an error with this SQLSTATE (empty where it is not known) and message; empty when unknown."""
    if tls_hint := tls.hint(message):
        return tls_hint
    for one in _HINTS:
        if one.words and re.search(one.words, message):
            return one.text
    return next((one.text for one in reversed(_HINTS) if state in one.states), "")


def with_hint(state: str, message: str) -> str:
    """The message, and in parentheses what to do."""
    found = hint(state, message)
    return f"{message} ({found})" if found else message
