"""The job's lines and figures, which go to the driver's log and into the execution's progress object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.progress import NEWEST_LINES, Progress
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BEAT = 3.0
"""Seconds between two looks at the progress, which is written when it has changed."""


@dataclass
class _Figures:
    """What is done of one table; see Progress. `group` is the group of the Spark jobs that read it now."""

    all_months: int
    all_rows: int
    months: int = 0
    rows: int = 0
    reading: str = ""
    slices: int = 0
    read: int = 0
    group: Optional[str] = None


class Reporter:
    """Writes the progress of an execution from a thread of its own. A write that fails never fails the job.

    `write` writes a text at a key of the bucket; `tables` is how many tables the execution has.
    """

    def __init__(self, spark: SparkSession, write: Callable[[str, str], None], execution: str, tables: int = 1) -> None:
        self._spark = spark.sparkContext
        self._write_object = write
        self._key = layout.progress_key(execution)
        self._lock = threading.Lock()
        self._progress = Progress(execution)
        self._tables = tables
        self._figures: dict[str, _Figures] = {}
        self._written: Optional[Progress] = None
        self._failed = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._write()

    def say(self, line: str) -> None:
        """Print a line, and add it to the progress."""
        print(line, flush=True)
        with self._lock:
            now = self._progress
            self._progress = replace(now, said=now.said + 1, lines=(*now.lines, line)[-NEWEST_LINES:])

    def count(self, table: str, months: int, rows: int) -> None:
        """Begin a table: the job is to ingest so many of its months; `rows` include those without a month."""
        with self._lock:
            self._figures[table] = _Figures(all_months=months, all_rows=rows)

    def committed(self, table: str, *, months: int, rows: int) -> None:
        """Count what was committed. The progress gets no line about it, because there is a manifest."""
        with self._lock:
            figures = self._figures[table]
            figures.months += months
            figures.rows += rows

    @contextmanager
    def reading(self, table: str, what: str, slices: int) -> Iterator[None]:
        """Until this ends, count the slices of `what` that the newest Spark job of this thread's job group has read."""
        with self._lock:
            figures = self._figures[table]
            figures.reading, figures.slices, figures.read = what, slices, 0
            figures.group = self._spark.getLocalProperty("spark.jobGroup.id")
        try:
            yield
        finally:
            with self._lock:
                figures.reading, figures.slices, figures.read, figures.group = "", 0, 0, None

    def _run(self) -> None:
        while not self._stopped.wait(BEAT):
            self._write()

    def _write(self) -> None:
        """Write the progress when it has changed. The first failure is printed; the next beat tries again."""
        try:
            now = self._current()
            if now != self._written:
                self._write_object(self._key, now.to_json())
                self._written = now
        except Exception as error:  # the job goes on without its progress
            if not self._failed:
                print(f"the progress cannot be written: {' '.join(str(error).split())[:500]}", flush=True)
            self._failed = True

    def _current(self) -> Progress:
        """The progress, with the figures of all tables that were begun."""
        with self._lock:
            groups = [(figures, figures.group) for figures in self._figures.values() if figures.group]
        done = [(figures, group, self._tasks_done(group)) for figures, group in groups]
        with self._lock:
            for figures, group, read in done:
                if figures.group == group:
                    figures.read = min(read, figures.slices)
            self._progress = replace(self._progress, **_united(self._figures, self._tables))  # type: ignore[arg-type]
            return self._progress

    def _tasks_done(self, group: str) -> int:
        """The finished tasks of the newest Spark job of the group; each reads a slice."""
        tracker = self._spark.statusTracker()
        job = tracker.getJobInfo(max(tracker.getJobIdsForGroup(group), default=-1))
        stages = [tracker.getStageInfo(stage) for stage in job.stageIds] if job else []
        return sum(stage.numCompletedTasks for stage in stages if stage)


def _united(tables: Mapping[str, _Figures], all_tables: int) -> dict[str, object]:
    """The figures of a Progress. Of several tables it has the number, as in `2 of 8 tables`."""
    if not tables:
        return {}
    each = [*tables.values()]
    reading = [figures.reading for figures in each if figures.reading]
    return {
        "table": next(iter(tables)) if all_tables == 1 else f"{len(tables)} of {counted(all_tables, 'table')}",
        "reading": reading[0] if len(reading) == 1 else counted(len(reading), "table") if reading else "",
        **{
            name: sum(getattr(figures, name) for figures in each)
            for name in ("months", "all_months", "rows", "all_rows", "slices", "read")
        },
    }
