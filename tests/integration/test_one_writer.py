"""One execution at a time writes a table."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import LockedError, Locks
from spark_scripts.postgres.source import Source
from tests.integration.published import Run, manifest, objects
from tests.integration.records import JANUARY


def test_a_second_writer_is_refused_with_the_name_of_the_first(
    spark: SparkSession, database: Database, records: Table, run: Run, bucket: Path
) -> None:
    with Locks.taken(spark, database, "first-writer", [lock_key(bucket.name, records.name)]) as locks:
        locks.check(lock_key(bucket.name, records.name))
        with pytest.raises(IngestionError, match="records is being written by execution first-writer"):
            run("second-writer", records, months=[JANUARY])
    run("third-writer", records, months=[JANUARY])
    assert manifest(bucket, records, JANUARY).execution == "third-writer"


def test_a_refused_lock_stays_refused_because_its_snapshot_is_older_than_what_the_holder_wrote(
    spark: SparkSession, database: Database
) -> None:
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(Locks.taken(spark, database, "early", ["a table"]))
        late = second.enter_context(Locks.taken(spark, database, "late", ["a table"]))
        first.close()
        with pytest.raises(LockedError, match="a table is being written by execution early"):
            late.check("a table")


def test_a_lock_whose_connection_is_lost_stops_the_table_before_it_publishes(
    spark: SparkSession, database: Database, records: Table, lake: Lake, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    before = objects(bucket, records, JANUARY)
    key = lock_key(lake.bucket, records.name)
    with (
        Source.connect(spark, database, "snapshot") as snapshot,
        Locks.taken(spark, database, "terminated", [key]) as locks,
    ):
        source.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'terminated'")
        with pytest.raises(IngestionError, match="records: the connection is lost: FATAL: terminating connection"):
            ingest(spark, snapshot, locks, lake, [TableRequest(records, (JANUARY,))])
    assert objects(bucket, records, JANUARY) == before
