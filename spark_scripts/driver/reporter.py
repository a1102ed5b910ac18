"""The job's lines and figures, which go to the driver's log and into the execution's progress object."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.progress import NEWEST_LINES, Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BEAT = 3.0
"""Seconds between two looks at the progress, which is written when it has changed."""


class Reporter:
    """Writes the progress of an execution from a thread of its own. A write that fails never fails the job.

    `write` writes a text at a key of the bucket.
    """

    def __init__(self, spark: SparkSession, write: Callable[[str, str], None], execution: str) -> None:
        self._spark = spark.sparkContext
        self._write_object = write
        self._key = layout.progress_key(execution)
        self._lock = threading.Lock()
        self._progress = Progress(execution)
        self._written: Optional[Progress] = None
        self._failed = False
        self._group: Optional[str] = None
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
        self._change(table=table, months=0, all_months=months, rows=0, all_rows=rows)

    def committed(self, *, months: int, rows: int) -> None:
        """Count what was committed. The progress gets no line about it, because there is a manifest."""
        with self._lock:
            now = self._progress
            self._progress = replace(now, months=now.months + months, rows=now.rows + rows)

    @contextmanager
    def reading(self, what: str, slices: int) -> Iterator[None]:
        """Until this ends, count the slices of `what` that the newest Spark job of this thread's job group has read."""
        self._change(reading=what, slices=slices, read=0)
        self._group = self._spark.getLocalProperty("spark.jobGroup.id")
        try:
            yield
        finally:
            self._group = None
            self._change(reading="", slices=0, read=0)

    def _change(self, **figures: object) -> None:
        with self._lock:
            self._progress = replace(self._progress, **figures)  # type: ignore[arg-type]  # the callers are above

    def _run(self) -> None:
        while not self._stopped.wait(BEAT):
            self._write()

    def _write(self) -> None:
        """Write the progress when it has changed. The first failure is printed; the next beat tries again."""
        try:
            read = self._tasks_done(self._group)
            with self._lock:
                now = self._progress
                if now.reading:
                    now = self._progress = replace(now, read=min(read, now.slices))
            if now != self._written:
                self._write_object(self._key, now.to_json())
                self._written = now
        except Exception as error:  # the job goes on without its progress
            if not self._failed:
                print(f"the progress cannot be written: {' '.join(str(error).split())[:500]}", flush=True)
            self._failed = True

    def _tasks_done(self, group: Optional[str]) -> int:
        """The finished tasks of the newest Spark job of the group; each reads a slice."""
        if group is None:
            return 0
        tracker = self._spark.statusTracker()
        job = tracker.getJobInfo(max(tracker.getJobIdsForGroup(group), default=-1))
        stages = [tracker.getStageInfo(stage) for stage in job.stageIds] if job else []
        return sum(stage.numCompletedTasks for stage in stages if stage)
