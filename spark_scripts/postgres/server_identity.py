"""Which server this is, which of its histories it follows, and how much of it a crash would keep.

`pg_control_checkpoint()` shows the old timeline for minutes after a promotion, the name of the current WAL file shows
the new one at once. A standby has no current WAL file. Its control file may lag as well, so `difference` never trusts
a standby across a restart; while it runs, a standby follows one history.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from spark_scripts.contract.errors import IngestionError
from spark_scripts.postgres.errors import SourceError
from spark_scripts.postgres.queries import Queries

OLDEST = 12
"""The oldest major version whose catalog has all that is asked (pg_attribute.attgenerated)."""

FLUSH_SECONDS = 20.0
"""How long to wait for WAL to be flushed: the background writer asks for that every 15 s on a server that writes."""

ASK_TO_FLUSH = "SELECT txid_current()::text AS id"
"""A transaction that takes an id with this, and ends, makes the WAL writer flush all WAL within 0.6 s.

Also when it rolls back (RecordTransactionAbort calls XLogSetAsyncXactLSN). An idle server has no reason to flush what a
query has pruned.
"""

_PAUSE = 0.1

# CASE, because functions of a primary fail on a standby. A role with SELECT alone may call all of them.
_IDENTITY = """
SELECT system_identifier::text AS system,
       (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS database,
       CASE WHEN standby THEN 'standby' ELSE 'primary' END AS role,
       (current_setting('server_version_num')::int / 10000)::text AS version,
       CASE WHEN standby THEN (SELECT min_recovery_end_timeline::text FROM pg_control_recovery())
            ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
       current_setting('fsync') AS fsync,
       (pg_postmaster_start_time() AT TIME ZONE 'UTC')::text AS started,
       CASE WHEN NOT standby THEN (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text END AS position
FROM pg_control_system(), pg_is_in_recovery() AS standby
"""

_FLUSHED = "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text AS position"


class NoStateError(IngestionError):
    """The source cannot tell whether a month has changed; the message is the reason, and the month is ingested."""


@dataclass(frozen=True)
class Server:
    """A server as one snapshot found it.

    `facts` are those of `SourceState.server` but for the relation. All that the snapshot sees was in the WAL before
    `position`, in bytes; None on a standby, which replays only what is flushed, on its primary and on itself.
    """

    facts: dict[str, str]
    position: Optional[int]


def read_server(connection: Queries) -> Server:
    """The server behind `connection`, whose snapshot is taken. Raises NoStateError where it does not tell."""
    try:
        with connection.letting_go():
            [version] = connection.rows("SELECT current_setting('server_version_num')::int / 10000 AS version")
            if version["version"] < OLDEST:
                raise NoStateError(f"the server is PostgreSQL {version['version']}, older than {OLDEST}")
            [facts] = connection.rows(_IDENTITY)
    except SourceError as error:
        raise NoStateError(f"the server does not tell its identity: {error}") from error
    position = facts.pop("position")
    missing = sorted(name for name, value in facts.items() if value is None)
    if missing:
        raise NoStateError(f"the server does not tell its {', '.join(missing)}")
    return Server(facts, None if position is None else int(position))


def wait_flushed(
    connection: Queries, server: Server, seconds: float = FLUSH_SECONDS, ask: Callable[[], None] = lambda: None
) -> None:
    """Wait until what the snapshot of `server` sees would survive a crash.

    With synchronous_commit = off a commit is visible before its WAL is flushed. A crash loses it then, and other
    transactions take the lost ids. `ask` is to make the server flush: see ASK_TO_FLUSH. Raises NoStateError after that
    many seconds, and where the server does not tell.
    """
    if server.position is None:
        return
    deadline = time.monotonic() + seconds
    if _flushed(connection) < server.position:
        ask()
    while _flushed(connection) < server.position:
        if time.monotonic() > deadline:
            raise NoStateError(f"the server did not flush, within {seconds:g} s, the WAL that the snapshot rests on")
        time.sleep(_PAUSE)


def _flushed(connection: Queries) -> int:
    try:
        with connection.letting_go():
            return int(connection.rows(_FLUSHED)[0]["position"])
    except SourceError as error:
        raise NoStateError(f"the server does not tell how much of its WAL is flushed: {error}") from error
