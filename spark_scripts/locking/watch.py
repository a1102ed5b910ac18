"""Watching the job's sessions, so that nobody waits for the job for long and no connection is silent for long.

A reader queues for its lock behind a session that waits for a stronger one. So an ALTER TABLE that waits for the job's
snapshot makes the job's next readers wait, and every SELECT of the application. PostgreSQL sees no deadlock, because
the snapshot's session waits for nothing. The watch sees that a session waits for the job, and releases the table.
"""

from __future__ import annotations

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

_WHO = """
SELECT string_agg(format('%s (%s): %s', usename, concat_ws(', ', nullif(application_name, ''), 'process ' || pid),
                         left(regexp_replace(query, '\\s+', ' ', 'g'), 80)), '; ') AS people
FROM pg_stat_activity WHERE pid = ANY (string_to_array(?, ',')::int[])
"""
"""Role, application and query of sessions; another role's query is shown to members of pg_read_all_stats only."""


class GaveWayError(TryAgainError):
    """Another session waited for the table, so the job released it."""


@dataclass
class _HeldTable:
    """A table whose locks the job holds.

    `waits` has the seconds for which other sessions have waited for it, by their process; `gave_way` says for which of
    them the job released it.
    """

    table: Table
    group: str
    gave_way: str = ""
    waits: dict[int, float] = field(default_factory=dict)


class Watch:
    """Looks at the sessions of an execution from a thread of its own, by the connection that holds its locks.

    `failure` is set when one of the two connections is lost; `blockers` says who held the lock that the job last
    waited for.
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
        self._hold: Optional[_HeldTable] = None
        self._holds = 0
        self.failure: Optional[ConnectionLostError] = None
        self.blockers = ""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def holding(self, table: Table) -> Iterator[str]:
        """Watch `table` while the job holds locks on it, and release it when another session waits for them.

        Yields the group of the Spark jobs that read the table. Raises GaveWayError when a session waited, and
        ConnectionLostError when one of the execution's connections was lost, in place of the error that this caused.
        """
        self._holds += 1
        hold = _HeldTable(table, f"{self._execution} {table.name} {self._holds}")
        self._context.setJobGroup(hold.group, f"{table.name}: reading")
        self._hold = hold
        try:
            yield hold.group
        except Exception as error:
            self._hold = None
            self._explain(hold, error)
            raise
        finally:
            self._hold = None

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

    def _run(self) -> None:
        try:
            while not self._stopped.wait(BEAT):
                self._snapshot.keep_alive()
                with self._locks.letting_go():
                    self._look()
        except SourceError as error:
            self.failure = ConnectionLostError(str(error), error.state)
            self._reporter.say(f"a connection of the job is lost: {error}")
            if self._hold is not None:
                self._context.cancelJobGroup(self._hold.group)

    def _look(self) -> None:
        """Report for whom the job waits, and give way to sessions that wait for the job."""
        self._locks.execute("SELECT pg_stat_clear_snapshot()")  # else pg_stat_activity never changes in a transaction
        waiting = self._locks.rows(_WAITING)
        ours = {row["pid"] for row in self._locks.rows(_OURS)} | {self._snapshot.pid}
        for lock in waiting:
            if lock["pid"] in ours:
                self._report_blockers(lock, ours)
            elif ours.intersection(lock["blockers"]):
                self._give_way(lock, ours)

    def _report_blockers(self, lock: Mapping[str, Any], ours: set[int]) -> None:
        others = sorted(set(lock["blockers"]) - ours)
        people = self._people(others)
        if people and people != self.blockers:
            self._reporter.say(f"waiting for a lock on {lock['relation']}, which is held or wanted by {people}")
        self.blockers = people or self.blockers

    def _give_way(self, lock: Mapping[str, Any], ours: set[int]) -> None:
        hold = self._hold
        if hold is None:  # a reader of a task that Spark gave up, whose query goes on
            self._end(ours.intersection(lock["blockers"]) - {self._snapshot.pid})
            return
        seen = hold.waits[lock["pid"]] = hold.waits.get(lock["pid"], -BEAT) + BEAT
        if max(seen, lock["seconds"] or 0) < hold.table.yield_after:
            return
        if not hold.gave_way:
            hold.gave_way = self._people([lock["pid"]]) or f"process {lock['pid']}"
            self._reporter.say(f"{hold.table.name}: releasing it, because {hold.gave_way} waits")
        self._release(hold, ours)

    def _release(self, hold: _HeldTable, ours: set[int]) -> None:
        """End the sessions of the table's readers, and a query that the snapshot's session may be running."""
        self._context.cancelJobGroup(hold.group)
        self._end(ours - {self._snapshot.pid})
        if self._snapshot.busy and self._hold is hold:
            self._locks.rows(f"SELECT pg_cancel_backend({self._snapshot.pid}) AS done")

    def _end(self, readers: set[int]) -> None:
        for pid in sorted(readers - {self._locks.pid}):
            self._locks.rows(f"SELECT pg_terminate_backend({pid}) AS done")

    def _people(self, pids: list[int]) -> str:
        [row] = self._locks.rows(_WHO, ",".join(map(str, pids)))
        return str(row["people"] or "")
