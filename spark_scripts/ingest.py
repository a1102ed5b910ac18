"""Ingest the tables of an execution side by side, and retry tables that other sessions needed meanwhile."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DataLakeError, IngestionError, TryAgainError
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.wording import counted
from spark_scripts.driver.reporter import Reporter
from spark_scripts.ingestion.changes import write_findings
from spark_scripts.ingestion.context import JobContext
from spark_scripts.ingestion.leftovers import staging_deleted
from spark_scripts.ingestion.summary import summary
from spark_scripts.ingestion.table import TableIngestion
from spark_scripts.ingestion.workers import work_side_by_side
from spark_scripts.lake.large_rows import HeapFullError
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import LockedError
from spark_scripts.locking.watch import Watch
from spark_scripts.postgres.errors import SourceChangedError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.glue.catalog import Catalog
    from spark_scripts.lake.bucket import Lake
    from spark_scripts.locking.advisory import Locks
    from spark_scripts.postgres.source import Source

ATTEMPTS = 3
"""How often the job tries a table that others rewrite, or need, while it reads the table."""

PAUSE = 10.0
"""Seconds between two attempts at a table that somebody else needed."""


def ingest(
    spark: SparkSession,
    source: Source,
    locks: Locks,
    lake: Lake,
    requests: Sequence[TableRequest],
    catalog: Optional[Catalog] = None,
) -> None:
    """Ingest every table that is asked for, several at a time; one that fails does not stop the others.

    `locks` hold the key of each table, or were refused it. `catalog` is updated where there is one. All tables are read
    under the snapshot of `source`. One that was rewritten meanwhile is read again at once, one that somebody else
    needed after a pause, each under a new snapshot of its own. Raises IngestionError at the end, naming each table that
    failed with the reason.
    """
    staged = {
        each.table.name for each in requests if not each.dry_run and locks.holds(lock_key(lake.bucket, each.table.name))
    }
    with (
        Reporter(spark, lake.write, source.execution, len(requests)) as reporter,
        Watch(spark, locks.connection, source.connection, source.execution, reporter) as watch,
        staging_deleted(lake, source.execution, staged),
    ):
        job = JobContext(spark, source, locks, watch, reporter, lake, catalog)
        attempts = _Attempts(job, requests)
        attempts.make_all()
        attempts.check()
    names = [request.table.name for request in requests]
    outcomes = {name: job.outcomes[name] for name in names if name in job.outcomes}  # threads have added them
    lake.write(layout.summary_key(source.execution), summary(outcomes))


@dataclass(frozen=True)
class _Attempt:
    """An attempt at a table, not to be made before this moment of the monotonic clock."""

    request: TableRequest
    number: int = 1
    not_before: float = 0.0

    @property
    def name(self) -> str:
        return self.request.table.name

    def next(self, pause: float) -> _Attempt:
        return _Attempt(self.request, self.number + 1, time.monotonic() + pause)


class _Attempts:
    """The attempts at all tables, which threads make side by side."""

    def __init__(self, job: JobContext, requests: Sequence[TableRequest]) -> None:
        self._job = job
        self._requests = requests
        self._waiting = deque(_Attempt(request) for request in requests)
        self._alone: list[_Attempt] = []
        self._changed = threading.Condition()
        self._failures: dict[str, str] = {}

    def make_all(self) -> None:
        """Make them, and those that follow from them."""
        try:
            work_side_by_side(self._job, len(self._requests), self._work)
        finally:
            with self._changed:
                self._waiting.clear()
                self._changed.notify_all()

    def check(self) -> None:
        """Raise IngestionError when a table failed in its last attempt, naming them in their order in tables.yaml."""
        reasons = [_with_name(name, self._failures[name]) for name in self._names if name in self._failures]
        if reasons:
            failed = f"{len(reasons)} of {counted(len(self._requests), 'table')} failed"
            raise IngestionError(f"{failed}: {'; '.join(reasons)}")

    @property
    def _names(self) -> list[str]:
        return [request.table.name for request in self._requests]

    def _work(self, job: JobContext) -> bool:
        """Make one attempt after the other with the parts of `job`; False when its session was lost before the last."""
        clean = True
        for attempt in iter(partial(self._next, job), None):
            clean = self._made(job, attempt, clean=clean) and attempt.number == 1
            if not clean and job.source.connection.is_lost():
                return False
        return True

    def _made(self, job: JobContext, attempt: _Attempt, *, clean: bool) -> bool:
        """Whether the attempt succeeded."""
        try:
            self._make(job, attempt, clean=clean)
        except TryAgainError as error:
            self._try_again(attempt, error)
            return False
        except HeapFullError as error:
            self._try_alone(job, attempt, error)
            return False
        except Exception as error:  # an unexpected fault must not end the other tables either
            self._fail(attempt, str(job.watch.failure or _one_line(error)))
            return False
        return True

    def _next(self, job: JobContext) -> Optional[_Attempt]:
        """The next attempt whose time has come; None when none is left. A thread may add one to those it makes.

        Those of tables to be read alone are left for the job's own parts, which nothing works beside.
        """
        with self._changed:
            while self._waiting:
                now = time.monotonic()
                for attempt in self._waiting:
                    if attempt.not_before <= now:
                        self._waiting.remove(attempt)
                        return attempt
                self._changed.wait(min(attempt.not_before for attempt in self._waiting) - now)
            return self._alone.pop() if self._alone and job is self._job else None

    def _make(self, job: JobContext, attempt: _Attempt, *, clean: bool) -> None:
        if job.watch.failure:
            raise job.watch.failure
        if attempt.number > 1:
            job.source.renew()
        elif not clean:
            job.source.rejoin()
        request = attempt.request
        try:
            TableIngestion(job, request.table).run(request)
        except LockedError as error:
            if not request.refresh:
                raise
            execution = job.source.execution
            write_findings(job, Refresh(attempt.name, execution, request.dry_run, skipped=str(error)))

    def _try_again(self, attempt: _Attempt, error: TryAgainError) -> None:
        self._job.reporter.say(f"{attempt.name}: attempt {attempt.number} of {ATTEMPTS}: {error}")
        if attempt.number == ATTEMPTS:
            self._failures[attempt.name] = str(error)
            return
        with self._changed:
            if isinstance(error, SourceChangedError):
                self._waiting.appendleft(attempt.next(pause=0))
            else:
                self._waiting.append(attempt.next(PAUSE))
            self._changed.notify()

    def _try_alone(self, job: JobContext, attempt: _Attempt, error: HeapFullError) -> None:
        """Try it again when all other tables are done, unless it was alone: the rows of tables share the heap."""
        if job is self._job:
            self._fail(attempt, str(error))
            return
        self._job.reporter.say(f"{error}; now alone, after the other tables")
        with self._changed:
            self._alone.append(attempt)

    def _fail(self, attempt: _Attempt, reason: str) -> None:
        self._failures[attempt.name] = reason
        self._job.reporter.say(f"{attempt.name} failed: {reason}")


def _with_name(table: str, reason: str) -> str:
    """The reason, beginning with the table's name; many reasons do so already."""
    return reason if reason.startswith((f"{table}: ", f"{table} ")) else f"{table}: {reason}"


def _one_line(error: Exception) -> str:
    """The error's message. The traceback of an unexpected error goes to the log."""
    if isinstance(error, DataLakeError):
        return str(error)
    traceback.print_exception(type(error), error, error.__traceback__)
    return " ".join(f"{type(error).__name__}: {error}".split())
