"""What a published month holds, and its manifest."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.source import Source
from tests.integration.published import Run, copied_back, manifest, objects, read_csv
from tests.integration.records import FEBRUARY, JANUARY, MARCH, NAUGHTY


def test_a_month_holds_every_row_as_postgresql_writes_it(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records, months=[FEBRUARY])
    found = manifest(bucket, records, FEBRUARY)
    expected = source.execute(
        "SELECT id::text, at::text, coalesce(note, ''), 'x,y,z' FROM job.records"
        " WHERE at BETWEEN '2024-02-01' AND '2024-03-01'"
    ).fetchall()
    assert sorted(map(tuple, read_csv(bucket, found))) == sorted(expected)
    assert (found.rows, found.source_rows, found.undated_rows) == (len(NAUGHTY), len(NAUGHTY), 2)
    assert (found.min_date, found.max_date) == ("2024-02-15 10:20:30.123456", "2024-02-15 10:20:30.123456")
    assert found.bytes == sum((bucket / file.key).stat().st_size for file in found.files)
    assert found.snapshot


def test_null_and_the_empty_string_stay_apart(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records, months=[FEBRUARY])
    copied_back(source, bucket, manifest(bucket, records, FEBRUARY), "job.back")
    differing = source.execute(
        "SELECT back.note, records.note FROM job.back JOIN job.records ON records.id::text = back.id"
        " WHERE back.note IS DISTINCT FROM records.note"
    ).fetchall()
    assert differing == []
    assert source.execute("SELECT count(*) FROM job.back").fetchone() == (len(NAUGHTY),)


def test_a_full_ingest_takes_every_month_and_the_rows_without_one(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("INSERT INTO job.records (at) VALUES ('1999-12-31 23:59:59.999999'), ('12024-01-01')")
    run("full", records)
    months = [Month(1999, 12), JANUARY, FEBRUARY, Month(12024, 1)]
    assert [manifest(bucket, records, month).rows for month in months] == [1, len(NAUGHTY), len(NAUGHTY), 1]
    undated = manifest(bucket, records, UNDATED)
    assert sorted(row[1:3] for row in read_csv(bucket, undated)) == [["", "never"], ["-infinity", "always"]]
    assert "__HIVE_DEFAULT_PARTITION__" in undated.files[0].key


def test_the_first_hour_of_a_month_that_comes_twice_is_in_one_month(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE TABLE job.havana (at timestamptz)")
    source.execute(
        "INSERT INTO job.havana SELECT '2026-11-01 03:30Z'::timestamptz + n * interval '30 minutes'"
        " FROM generate_series(0, 5) n"
    )
    havana = Table("havana", "job.havana", "at", "2026-10", timezone="America/Havana")
    run("havana", havana)
    assert [manifest(bucket, havana, Month(2026, number)).rows for number in (10, 11)] == [1, 5]


def test_a_month_ingested_again_holds_the_new_rows_and_leaves_the_others_untouched(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records)
    january, february = objects(bucket, records, JANUARY), objects(bucket, records, FEBRUARY)
    source.execute("DELETE FROM job.records WHERE note IS DISTINCT FROM 'plain'")
    run("second", records, months=[FEBRUARY])
    assert objects(bucket, records, JANUARY) == january
    assert not set(objects(bucket, records, FEBRUARY)) & set(february)
    found = manifest(bucket, records, FEBRUARY)
    assert [row[2] for row in read_csv(bucket, found)] == ["plain"]
    assert set(objects(bucket, records, FEBRUARY)) == {file.key for file in found.files}
    assert manifest(bucket, records, UNDATED).rows == 0
    assert objects(bucket, records, UNDATED) == {}


def test_the_history_keeps_the_manifest_of_each_execution(run: Run, records: Table, bucket: Path) -> None:
    run("first", records, months=[FEBRUARY])
    run("second", records, months=[FEBRUARY])
    for execution in ("first", "second"):
        key = layout.execution_manifest_key(execution, records.name, FEBRUARY)
        assert Manifest.from_json((bucket / key).read_text(encoding="utf-8")).execution == execution
    assert manifest(bucket, records, FEBRUARY).execution == "second"


def test_the_leftovers_of_a_killed_execution_are_removed_by_the_next(run: Run, records: Table, bucket: Path) -> None:
    stray = bucket / layout.partition_prefix(records.name, FEBRUARY) / "killed-part-0.csv"
    staged = bucket / layout.staging_prefix("killed", records.name) / "2024-02" / "part-0.csv"
    for file in (stray, staged):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("id\n")
    run("next", records, months=[FEBRUARY])
    assert set(objects(bucket, records, FEBRUARY)) == {file.key for file in manifest(bucket, records, FEBRUARY).files}
    assert not (bucket / layout.STAGING / "killed").exists()


def test_a_month_of_many_rows_is_read_in_slices(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute(
        "INSERT INTO job.records (at)"
        " SELECT '2024-03-01'::timestamp + n * interval '1 hour' FROM generate_series(0, 743) n"
    )
    run("sliced", replace(records, slice_by="date", slices=4), months=[MARCH])
    found = manifest(bucket, records, MARCH)
    assert len(found.files) == 4
    assert len({row[0] for row in read_csv(bucket, found)}) == found.rows == 744


def test_rows_that_change_while_the_job_reads_are_seen_as_of_its_start(
    spark: SparkSession,
    database: Database,
    lake: Lake,
    bucket: Path,
    records: Table,
    source: psycopg.Connection[Any],
) -> None:
    with (
        Locks.taken(spark, database, "calm", [lock_key(lake.bucket, records.name)]) as locks,
        Source.connect(spark, database, "calm") as calm,
    ):
        source.execute("UPDATE job.records SET at = '2024-03-15' WHERE at > '2024-02-01'")
        source.execute("DELETE FROM job.records WHERE at < '2024-02-01'")
        ingest(spark, calm, locks, lake, [TableRequest(records, (JANUARY, FEBRUARY, MARCH))])
    assert [manifest(bucket, records, month).rows for month in (JANUARY, FEBRUARY, MARCH)] == [len(NAUGHTY)] * 2 + [0]


def test_the_times_of_a_manifest_are_in_utc(run: Run, records: Table, bucket: Path) -> None:
    before = time.time() - 1
    run("timed", records, months=[FEBRUARY])
    found = manifest(bucket, records, FEBRUARY)
    started, finished = datetime.fromisoformat(found.started), datetime.fromisoformat(found.finished)
    assert started.tzinfo == UTC
    assert before <= started.timestamp() <= finished.timestamp() <= time.time() + 1
