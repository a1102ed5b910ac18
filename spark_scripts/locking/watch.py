"""Watching the job's sessions, so that nobody waits for the job for long and no connection is silent for long.

A reader queues for its lock behind a session that waits for a stronger one. So an ALTER TABLE that waits for the job's
snapshot makes the job's next readers wait, and every SELECT of the application. PostgreSQL sees no deadlock, because
the snapshot's session waits for nothing. The watch sees that a session waits for the job, and releases the table.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from spark_scripts.contract.errors import TryAgainError
from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.errors import ConnectionLostError, SourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.tables import Table
    from spark_scripts.driver.reporter import Reporter

BEAT = 2.0
"""Seconds between two looks."""

# By the application name as PostgreSQL shows it, cut at 63 bytes, and the user who logged in, whatever SET ROLE says.
_OURS = """
SELECT other.pid FROM pg_stat_activity AS own JOIN pg_stat_activity AS other USING (application_name, usesysid)
WHERE own.pid = pg_backend_pid()
"""

# pg_blocking_pids() is called only for sessions that wait, for it halts the lock manager for a moment. `waitstart` is
# PostgreSQL 14's. A session that waits for our snapshot (CREATE INDEX CONCURRENTLY) waits for no lock of a relation.
_WAITING = """
SELECT lock.pid, pg_blocking_pids(lock.pid) AS blockers, relation::regclass::text AS relation,
       extract(epoch FROM clock_timestamp() - (to_jsonb(lock) ->> 'waitstart')::timestamptz) AS seconds
FROM pg_locks AS lock
WHERE NOT granted AND locktype = 'relation'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# A reader locks the relation of its table, and so do the readers of tables that are read through that relation.
_READERS = """
SELECT DISTINCT pid FROM pg_locks
WHERE locktype = 'relation' AND relation = to_regclass(?)
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_WHO = """
SELECT string_agg(format('%s (%s): %s', usename, concat_ws(', ', nullif(application_name, ''), 'process ' || pid),
                         left(regexp_replace(query, '\\s+', ' ', 'g'), 80)), '; ') AS people
FROM pg_stat_activity WHERE pid = ANY (string_to_array(?, ',')::int[])
"""
"""Role, application and query of sessions; another role's query is shown to members of pg_read_all_stats only."""


class GaveWayError(TryAgainError):
    """Another session waited for the table, so the job released it."""


@dataclass(eq=False)
class _HeldTable:
    """A table whose locks the session of `connection` holds; `relation` is its quoted name.

    `waits` has the seconds for which other sessions have waited for it, by their process; `gave_way` says for which of
    them the job released it.
    """

    table: Table
    relation: str
    connection: Connection
    group: str
    gave_way: str = ""
    waits: dict[int, float] = field(default_factory=dict)


class Watch:
    """Looks at the sessions of an execution from a thread of its own, by the connection that holds its locks.

    `failure` is set when that connection or the one of the common snapshot is lost: no table can be ingested then.
    `blockers` says, by table, who held the lock that the job last waited for.
    """

    def __init__(
        self, spark: SparkSession, locks: Connection, snapshot: Connection, execution: str, reporter: Reporter
    ) -> None:
        self._context = spark.sparkContext
        self._locks = locks
        self._snapshot = snapshot
        self._execution = execution
        self._reporter = reporter
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._sessions: list[Connection] = []
        self._holds: list[_HeldTable] = []
        self._numbers = itertools.count(1)
        self.failure: Optional[ConnectionLostError] = None
        self.blockers: dict[str, str] = {}

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def session(self, connection: Connection) -> Iterator[None]:
        """Count the session of `connection` among the job's, and keep it alive, until this ends."""
        self._sessions.append(connection)
        try:
            yield
        finally:
            self._sessions.remove(connection)

    @contextmanager
    def holding(self, table: Table, relation: str, connection: Connection) -> Iterator[None]:
        """Watch `table` while `connection` holds locks on it, and release it when another session waits for them.

        The Spark jobs that this thread starts meanwhile are of one group. Raises GaveWayError when a session waited,
        and ConnectionLostError when one of the connections was lost, in place of the error that this caused.
        """
        group = f"{self._execution} {table.name} {next(self._numbers)}"
        hold = _HeldTable(table, relation, connection, group)
        self._context.setJobGroup(group, f"{table.name}: reading")
        self._holds.append(hold)
        try:
            yield
        except Exception as error:
            self._holds.remove(hold)
            self._explain(hold, error)
            raise
        else:
            self._holds.remove(hold)

    def _explain(self, hold: _HeldTable, error: Exception) -> None:
        if hold.gave_way:
            raise GaveWayError(
                f"{hold.table.name}: released the table, because {hold.gave_way} waited {hold.table.yield_after} s"
                " for it"
            ) from error
        if self.failure is None:
            try:
                self._snapshot.keep_alive()
            except ConnectionLostError as lost:
                self.failure = lost
        if self.failure is not None:
            raise self.failure from error
        try:
            hold.connection.keep_alive()
        except ConnectionLostError as lost:
            raise lost from error

    def _run(self) -> None:
        try:
            while not self._stopped.wait(BEAT):
                self._snapshot.keep_alive()
                self._keep_sessions_alive()
                with self._locks.letting_go():
                    self._look()
        except SourceError as error:
            self.failure = ConnectionLostError(str(error), error.state)
            self._reporter.say(f"a connection of the job is lost: {error}")
            for hold in [*self._holds]:
                self._context.cancelJobGroup(hold.group)

    def _keep_sessions_alive(self) -> None:
        """With a session its locks are lost, so nobody may go on reading the table."""
        lost = {id(connection) for connection in [*self._sessions] if connection.is_lost()}
        for hold in [*self._holds]:
            if id(hold.connection) in lost:
                self._context.cancelJobGroup(hold.group)

    def _look(self) -> None:
        """Report for whom the job waits, and give way to sessions that wait for the job."""
        self._locks.execute("SELECT pg_stat_clear_snapshot()")  # else pg_stat_activity never changes in a transaction
        waiting = self._locks.rows(_WAITING)
        if not waiting:
            return
        ours = {row["pid"] for row in self._locks.rows(_OURS)} | self._of_driver()
        for lock in waiting:
            if lock["pid"] in ours:
                self._report_blockers(lock, ours)
            elif ours.intersection(lock["blockers"]):
                self._give_way(lock, ours)

    def _of_driver(self) -> set[int]:
        return {connection.pid for connection in (self._locks, self._snapshot, *self._sessions)}

    def _report_blockers(self, lock: Mapping[str, Any], ours: set[int]) -> None:
        people = self._people(sorted(set(lock["blockers"]) - ours))
        for hold in [*self._holds] if people else ():
            if lock["pid"] != hold.connection.pid and lock["pid"] not in self._readers(hold):
                continue
            name = hold.table.name
            if people != self.blockers.get(name):
                self._reporter.say(
                    f"{name}: waiting for a lock on {lock['relation']}, which is held or wanted by {people}"
                )
            self.blockers[name] = people

    def _give_way(self, lock: Mapping[str, Any], ours: set[int]) -> None:
        """Release each table for which the session waits. To release one of them alone would not help it."""
        holds = [hold for hold in [*self._holds] if hold.connection.pid in lock["blockers"]]
        if not holds:  # a reader of a task that Spark gave up, whose query goes on
            self._end(ours.intersection(lock["blockers"]))
            return
        for hold in holds:
            hold.waits[lock["pid"]] = hold.waits.get(lock["pid"], -BEAT) + BEAT
        waited = max(lock["seconds"] or 0, *(hold.waits[lock["pid"]] for hold in holds))
        if waited >= min(hold.table.yield_after for hold in holds):
            people = self._people([lock["pid"]]) or f"process {lock['pid']}"
            for hold in holds:
                self._release(hold, people, ours)

    def _release(self, hold: _HeldTable, people: str, ours: set[int]) -> None:
        """End the sessions of the table's readers, and a query that the session with its locks may be running."""
        if not hold.gave_way:
            hold.gave_way = people
            self._reporter.say(f"{hold.table.name}: releasing it, because {people} waits")
        self._context.cancelJobGroup(hold.group)
        self._end(ours & self._readers(hold))
        if hold.connection.busy and hold in self._holds:
            self._locks.rows(f"SELECT pg_cancel_backend({hold.connection.pid}) AS done")

    def _readers(self, hold: _HeldTable) -> set[int]:
        """The sessions that have locked the table, or wait for that."""
        return {row["pid"] for row in self._locks.rows(_READERS, hold.relation)}

    def _end(self, readers: set[int]) -> None:
        for pid in sorted(readers - self._of_driver()):
            self._locks.rows(f"SELECT pg_terminate_backend({pid}) AS done")

    def _people(self, pids: list[int]) -> str:
        [row] = self._locks.rows(_WHO, ",".join(map(str, pids)))
        return str(row["people"] or "")
