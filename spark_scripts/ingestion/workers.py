"""Ingesting tables side by side: threads of the driver, each with one table at a time.

A small table mostly waits: for PostgreSQL's catalog, for Spark to start a job, for one request to S3 after another.
Side by side the tables wait together. Spark's FAIR scheduler has a pool for each thread: a large table has all cores
while no other wants one, and the small ones need not wait until all its slices are read.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark import inheritable_thread_target

from spark_scripts.lake import spark_io
from spark_scripts.postgres.errors import SourceError
from spark_scripts.postgres.room import room

if TYPE_CHECKING:
    from spark_scripts.ingestion.context import JobContext

MOST = 8
"""Tables at a time. More of them help little: what does not wait for S3 needs the two processors of the driver."""

_SESSIONS_OF_A_TABLE = 2
"""The session that counts and holds the table's locks, and for a moment Spark's own, which asks for the columns."""

Work = Callable[["JobContext"], bool]
"""Ingests one table after the other with the parts of a job that are a thread's own. False when its session is lost."""


def number_of_workers(job: JobContext, tables: int) -> int:
    """How many tables to ingest at a time: as many as there is room for in PostgreSQL beside a reader for each core."""
    if tables < 2:
        return tables
    free = room(job.locks.connection)
    limit = MOST if free is None else (free - spark_io.cores(job.spark)) // _SESSIONS_OF_A_TABLE
    return max(1, min(MOST, tables, limit))


def work_side_by_side(job: JobContext, tables: int, work: Work) -> None:
    """Run `work` in threads, each with a session of its own under the job's snapshot, until no table is left.

    Where there is one table, or room for one at a time, it runs in this thread and in the session of the snapshot, as
    it does with what is left when no thread has a session any more.
    """
    number = number_of_workers(job, tables)
    if number > 1:
        job.reporter.say(f"{tables} tables, {number} at a time")
        with ThreadPoolExecutor(number, "table") as pool:
            # Each thread gets its own copy of the local properties, in which Spark hands its settings to the tasks: one
            # copy for all loses settings of a table while another one ends, such as how old dates are written.
            targets = [inheritable_thread_target(_in_thread) for _ in range(number)]
            names = (f"table-{index}" for index in range(1, number + 1))
            running = [pool.submit(run, job, name, work) for run, name in zip(targets, names)]
            for each in running:
                each.result()
    while not work(job):
        pass


def _in_thread(job: JobContext, pool: str, work: Work) -> None:
    job.spark.sparkContext.setLocalProperty("spark.scheduler.pool", pool)
    spark = job.spark.newSession()  # it has settings that a table's format decides: `spark_io.write`
    try:
        while not _in_session(replace(job, spark=spark), work):
            pass
    except SourceError as error:  # a limit that `room` does not know
        job.reporter.say(f"one table fewer at a time: {error}")


def _in_session(job: JobContext, work: Work) -> bool:
    with job.source.joined() as source, job.watch.session(source.connection):
        return work(replace(job, source=source))
