"""Ingest the tables of an execution, one after the other, and retry tables that other sessions needed meanwhile."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DataLakeError, IngestionError, TryAgainError
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.wording import counted
from spark_scripts.driver.reporter import Reporter
from spark_scripts.ingestion.changes import write_findings
from spark_scripts.ingestion.context import JobContext
from spark_scripts.ingestion.summary import summary
from spark_scripts.ingestion.table import TableIngestion
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
    """Ingest every table that is asked for; one that fails does not stop the others.

    `locks` hold the key of each table, or were refused it. `catalog` is updated where there is one. A table that was
    rewritten meanwhile is read again at once, one that somebody else needed after the others, each under a new
    snapshot. Raises IngestionError at the end, naming each table that failed with the reason.
    """
    with (
        Reporter(spark, lake.write, source.execution) as reporter,
        Watch(spark, locks.connection, source.connection, source.execution, reporter) as watch,
    ):
        job = JobContext(spark, source, locks, watch, reporter, lake, catalog)
        attempts = _Attempts(job, requests)
        attempts.make_all()
    if attempts.failures:
        reasons = "; ".join(_with_name(name, reason) for name, reason in attempts.failures.items())
        raise IngestionError(f"{len(attempts.failures)} of {counted(len(requests), 'table')} failed: {reasons}")
    lake.write(layout.summary_key(source.execution), summary(job.outcomes))


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
    """The attempts at all tables. `failures` has the reason for each table whose last attempt failed."""

    def __init__(self, job: JobContext, requests: Sequence[TableRequest]) -> None:
        self._job = job
        self._waiting = deque(_Attempt(request) for request in requests)
        self.failures: dict[str, str] = {}

    def make_all(self) -> None:
        while self._waiting:
            attempt = self._waiting.popleft()
            try:
                self._make(attempt)
            except TryAgainError as error:
                self._try_again(attempt, error)
            except Exception as error:  # an unexpected fault must not end the other tables either
                self._fail(attempt, str(self._job.watch.failure or _one_line(error)))

    def _make(self, attempt: _Attempt) -> None:
        if self._job.watch.failure:
            raise self._job.watch.failure
        time.sleep(max(0.0, attempt.not_before - time.monotonic()))
        if attempt.number > 1:
            self._job.source.renew()
        request = attempt.request
        try:
            TableIngestion(self._job, request.table).run(request)
        except LockedError as error:
            if not request.refresh:
                raise
            execution = self._job.source.execution
            write_findings(self._job, Refresh(attempt.name, execution, request.dry_run, skipped=str(error)))

    def _try_again(self, attempt: _Attempt, error: TryAgainError) -> None:
        self._job.reporter.say(f"{attempt.name}: attempt {attempt.number} of {ATTEMPTS}: {error}")
        if attempt.number == ATTEMPTS:
            self.failures[attempt.name] = str(error)
        elif isinstance(error, SourceChangedError):
            self._waiting.appendleft(attempt.next(pause=0))
        else:
            self._waiting.append(attempt.next(PAUSE))

    def _fail(self, attempt: _Attempt, reason: str) -> None:
        self.failures[attempt.name] = reason
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
