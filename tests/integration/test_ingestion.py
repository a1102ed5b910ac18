"""The job's own work, in a Spark session of this process, on the local account's PostgreSQL and S3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError, InvalidInputError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import LockedError, Locks
from spark_scripts.postgres.errors import SourceError
from spark_scripts.postgres.source import Source
from tests.integration.crashing import files_below
from tests.integration.published import Run, copied_back, manifest, objects, read_csv

JANUARY, FEBRUARY, MARCH = (Month(2024, number) for number in (1, 2, 3))
NAUGHTY = [
    "plain",
    None,
    "",
    ",",
    '"',
    'a"b',
    "a\nb",
    "a\r\nb",
    "\r",
    "\\",
    "\\.",
    " padded ",
    "日本 😀",
    "NULL",
    "\\N",
    "#",
]


@pytest.fixture
def records(source: psycopg.Connection[Any]) -> Iterator[Table]:
    """A table with every naughty text in January and February 2024, and two rows without a month."""
    source.execute("DROP SCHEMA IF EXISTS job CASCADE; CREATE SCHEMA job")
    source.execute("CREATE TABLE job.records (id serial PRIMARY KEY, at timestamp, note text, tags text[])")
    with source.cursor() as cursor:
        rows = [(f"2024-0{month}-15 10:20:30.123456", note) for month in (1, 2) for note in NAUGHTY]
        cursor.executemany("INSERT INTO job.records (at, note, tags) VALUES (%s, %s, ARRAY['x', NULL, 'y,z'])", rows)
    source.execute("INSERT INTO job.records (at, note) VALUES (NULL, 'never'), ('-infinity', 'always')")
    yield Table("records", "job.records", "at", "2024-01", columns={"tags": {"join": ","}}, verify="full")
    source.execute("DROP SCHEMA job CASCADE")


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


def test_a_month_that_has_become_empty_is_a_manifest_without_files(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records, months=[FEBRUARY])
    source.execute("DELETE FROM job.records WHERE at > '2024-02-01' OR at IS NULL")
    run("second", records, months=[FEBRUARY])
    found = manifest(bucket, records, FEBRUARY)
    assert (found.rows, found.files, objects(bucket, records, FEBRUARY)) == (0, (), {})


@pytest.mark.parametrize("months", [None, [FEBRUARY]])
def test_a_table_that_reads_as_empty_empties_no_month_unless_its_entry_allows_it(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any], months: list[Month] | None
) -> None:
    run("first", records, months=months)
    before = objects(bucket, records, FEBRUARY)
    source.execute("DELETE FROM job.records")
    with pytest.raises(
        IngestionError, match=r"job\.records has no rows at all.* 2024-02 \(16 rows\).*allow_empty: true"
    ):
        run("second", records, months=months)
    assert objects(bucket, records, FEBRUARY) == before
    assert manifest(bucket, records, UNDATED).rows == 2
    run("third", replace(records, allow_empty=True), months=months)
    assert (manifest(bucket, records, FEBRUARY).rows, objects(bucket, records, FEBRUARY)) == (0, {})


def test_a_table_that_never_had_rows_may_be_empty(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE TABLE job.unused (at date)")
    unused = Table("unused", "job.unused", "at", "2024-01")
    for execution in ("first", "second"):
        run(execution, unused, months=[JANUARY])
        assert manifest(bucket, unused, JANUARY).execution == execution


def test_the_leftovers_of_a_killed_execution_are_removed_by_the_next(run: Run, records: Table, bucket: Path) -> None:
    stray = bucket / layout.partition_prefix(records.name, FEBRUARY) / "killed-part-0.csv"
    staged = bucket / layout.staging_prefix("killed", records.name) / "2024-02" / "part-0.csv"
    for file in (stray, staged):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("id\n")
    run("next", records, months=[FEBRUARY])
    assert set(objects(bucket, records, FEBRUARY)) == {file.key for file in manifest(bucket, records, FEBRUARY).files}
    assert not (bucket / layout.STAGING / "killed").exists()


def test_a_failing_month_keeps_the_months_before_it_and_its_own_old_files(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute(
        "CREATE VIEW job.fragile AS SELECT id, at, 1 / (CASE id WHEN 20 THEN 0 ELSE 1 END) AS n FROM job.records"
    )
    fragile = Table("fragile", "job.fragile", "at", "2024-01")
    source.execute("UPDATE job.records SET id = -20 WHERE id = 20")
    run("good", fragile, months=[JANUARY, FEBRUARY])
    before = objects(bucket, fragile, FEBRUARY)
    source.execute("UPDATE job.records SET id = 20 WHERE id = -20")
    with pytest.raises(IngestionError, match=r"1 of 1 table failed: fragile: fragile 2024-02: .*division by zero"):
        run("bad", fragile, months=[JANUARY, FEBRUARY])
    assert manifest(bucket, fragile, JANUARY).execution == "bad"
    assert manifest(bucket, fragile, FEBRUARY).execution == "good"
    assert objects(bucket, fragile, FEBRUARY) == before
    assert not (bucket / layout.STAGING / "bad").exists()


def test_one_broken_table_does_not_stop_the_others(run: Run, records: Table, bucket: Path) -> None:
    broken = Table("broken", "job.nothing", "at", "2024-01")
    with pytest.raises(IngestionError, match=r"1 of 2 tables failed: broken: .* has no table job\.nothing"):
        run("mixed", broken, records, months=[JANUARY])
    assert manifest(bucket, records, JANUARY).execution == "mixed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"date_column": "when"}, "has no column when: date_column must be one of id, at, note, tags"),
        ({"date_column": "note"}, "column note of job.records is text: date_column must be a date"),
        ({"columns": {"labels": {"join": ","}}}, "no column labels to clean"),
        ({"columns": {"note": {"join": ","}}}, "column note is text, and join needs an array"),
    ],
)
def test_an_entry_that_does_not_fit_the_table_is_named(
    run: Run, records: Table, bucket: Path, changes: dict[str, Any], message: str
) -> None:
    wrong = Table(**{**records.__dict__, **changes})
    before = files_below(bucket / layout.RAW_LAYER)
    with pytest.raises(IngestionError, match=message):
        run("wrong", wrong, months=[JANUARY])
    told = bucket / layout.progress_key("wrong")  # why it failed
    assert files_below(bucket / layout.RAW_LAYER) - before <= {told}


def test_a_second_writer_is_refused_and_told_who_is_first(
    spark: SparkSession, database: Database, records: Table, run: Run, bucket: Path
) -> None:
    with Locks.taken(spark, database, "first-writer", [lock_key(bucket.name, records.name)]) as locks:
        locks.check(lock_key(bucket.name, records.name))
        with pytest.raises(IngestionError, match="records is being written by execution first-writer"):
            run("second-writer", records, months=[JANUARY])
    run("third-writer", records, months=[JANUARY])
    assert manifest(bucket, records, JANUARY).execution == "third-writer"


def test_a_refused_lock_stays_refused_for_its_snapshot_is_older_than_what_the_holder_wrote(
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


def test_a_lost_snapshot_fails_every_table_with_its_reason(
    spark: SparkSession, database: Database, records: Table, lake: Lake, source: psycopg.Connection[Any]
) -> None:
    other = Table(**{**records.__dict__, "name": "other"})
    keys = [lock_key(lake.bucket, table.name) for table in (records, other)]
    with Locks.taken(spark, database, "locks", keys) as locks, Source.connect(spark, database, "gone") as gone:
        source.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gone'")
        with pytest.raises(IngestionError, match=r"2 of 2 tables failed: records: .*; other: "):
            ingest(spark, gone, locks, lake, [TableRequest(table, None) for table in (records, other)])


class WrongBucket:
    """An S3 client that sends what is written for the table `records` to a bucket that does not exist."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put_object(self, *, Bucket: str, Key: str, **arguments: Any) -> Any:  # noqa: N803 (boto3's names)
        bucket = "no-such-bucket" if "/records/" in Key else Bucket
        return self.client.put_object(Bucket=bucket, Key=Key, **arguments)


def test_a_manifest_that_cannot_be_written_fails_its_table_and_not_the_others(
    spark: SparkSession, database: Database, records: Table, bucket: Path, session: boto3.session.Session
) -> None:
    client: Any = WrongBucket(session.client("s3"))
    tables = [records, Table(**{**records.__dict__, "name": "other"})]
    requests = [TableRequest(table, (JANUARY,)) for table in tables]
    with (
        Locks.taken(spark, database, "refused", [lock_key(bucket.name, table.name) for table in tables]) as locks,
        Source.connect(spark, database, "refused") as source,
        pytest.raises(IngestionError, match=r"1 of 2 tables failed: records: .*undated.json cannot be written"),
    ):
        ingest(spark, source, locks, Lake(spark, client, bucket.name), requests)
    assert manifest(bucket, tables[1], JANUARY).execution == "refused"


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


def test_a_full_ingest_empties_a_month_that_the_source_has_no_more(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records)
    source.execute("DELETE FROM job.records WHERE at > '2024-02-01'")
    run("second", records)
    found = manifest(bucket, records, FEBRUARY)
    assert (found.execution, found.rows, objects(bucket, records, FEBRUARY)) == ("second", 0, {})
    assert manifest(bucket, records, JANUARY).rows == len(NAUGHTY)


def test_months_of_a_timestamptz_begin_in_the_zone_of_the_table(
    run: Run, records: Table, bucket: Path, spark: SparkSession, source: psycopg.Connection[Any]
) -> None:
    source.execute(
        'CREATE TABLE job."Odd ""Name" (at timestamptz(3), amount numeric(12, 2), "year" int, "Year" date, "a,b" uuid)'
    )
    source.execute(
        """INSERT INTO job."Odd ""Name" VALUES
        ('2024-02-01 05:59:59.999Z', 1.10, 1, '1500-02-28', NULL),
        ('2024-02-01 06:00Z', -2.20, NULL, NULL, '0b9c5c0e-8a5b-4a3e-9a49-0a0f0f0f0f0f'),
        ('2024-03-01 05:59:59.999Z', 3.30, 3, '2024-01-01', NULL)"""
    )
    odd = Table("odd", 'job."Odd ""Name"', "at", "2024-01", timezone="America/Chicago", format="parquet", verify="full")
    run("zoned", odd)
    assert [manifest(bucket, odd, month).rows for month in (JANUARY, FEBRUARY)] == [1, 2]
    [file] = manifest(bucket, odd, JANUARY).files
    frame = spark.read.parquet(str(bucket / file.key))
    assert dict(frame.dtypes) == {
        "at": "timestamp", "amount": "decimal(12,2)", "year": "int", "Year": "date", "a,b": "string"
    }  # fmt: skip
    [row] = frame.select("amount", "year", frame.at.cast("string"), frame["Year"].cast("string")).collect()
    assert tuple(row) == (Decimal("1.10"), 1, "2024-02-01 05:59:59.999", "1500-02-28")


def test_parquet_tells_infinite_dates_and_nan_in_a_text_column_beside(
    run: Run, records: Table, bucket: Path, spark: SparkSession, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE TABLE job.edges (at timestamp, due date, seen timestamptz, amount numeric(6, 2))")
    source.execute(
        "INSERT INTO job.edges VALUES ('-infinity', '2024-01-01', now(), 1), (NULL, 'infinity', NULL, NULL),"
        " ('2024-01-31', '-infinity', '294276-12-31 23:59:59.999999Z', 'NaN'), ('2024-02-01', NULL, now(), 9999.99)"
    )
    edges = Table("edges", "job.edges", "at", "2024-01", format="parquet", verify="full")
    run("edges", edges)

    def read(partition: Partition, *columns: str) -> list[tuple[Any, ...]]:
        frame = spark.read.parquet(*(str(bucket / file.key) for file in manifest(bucket, edges, partition).files))
        assert dict(frame.dtypes)["at"] == "timestamp_ntz"
        return sorted((tuple(row) for row in frame.select(*columns).collect()), key=str)

    assert read(UNDATED, "at", "at_text", "due_text") == [(None, "-infinity", None), (None, None, "infinity")]
    assert read(JANUARY, "due", "due_text", "seen", "seen_text", "amount", "amount_text") == [
        (None, "-infinity", None, "294276-12-31 23:59:59.999999+00", None, "NaN")
    ]
    assert read(FEBRUARY, "due", "amount") == [(None, Decimal("9999.99"))]
    [file] = manifest(bucket, edges, FEBRUARY).files
    assert spark.read.parquet(str(bucket / file.key)).columns == ["at", "due", "seen", "amount"]


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


def test_rows_that_went_missing_fail_the_month_and_publish_nothing(
    run: Run, records: Table, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = objects(bucket, records, FEBRUARY)
    monkeypatch.setattr(
        "spark_scripts.postgres.sql.slices", lambda *_: ["sliced BETWEEN '2024-02-01' AND '2024-02-02'"]
    )
    message = f"Spark wrote 0 rows, the source counted {len(NAUGHTY)} in the same snapshot"
    with pytest.raises(IngestionError, match=message):
        run("short", replace(records, slice_by="date"), months=[FEBRUARY])
    assert objects(bucket, records, FEBRUARY) == before


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


def test_a_wrong_password_is_told_without_the_password(spark: SparkSession, database: Database) -> None:
    wrong = replace(database, password="open sesame")
    with (
        pytest.raises(SourceError, match=r"password authentication failed.*aws_setup secret") as raised,
        Source.connect(spark, wrong, "locked-out"),
    ):
        pass
    assert "sesame" not in str(raised.value)


def test_a_database_that_is_down_is_named(spark: SparkSession, database: Database, free_port: int) -> None:
    down = replace(database, port=free_port)
    with (
        pytest.raises(SourceError, match=rf"cannot connect to .*:{free_port}/.*is PostgreSQL running"),
        Source.connect(spark, down, "nobody-home"),
    ):
        pass


def test_an_unknown_table_is_named(spark: SparkSession, database: Database) -> None:
    with (
        Source.connect(spark, database, "lost") as source,
        pytest.raises(InvalidInputError, match=r"has no table public\.nothing"),
    ):
        source.relation(Table("nothing", "public.nothing", "at", "2024-01"), source.connection)


def test_the_times_of_a_manifest_are_in_utc(run: Run, records: Table, bucket: Path) -> None:
    before = time.time() - 1
    run("timed", records, months=[FEBRUARY])
    found = manifest(bucket, records, FEBRUARY)
    started, finished = datetime.fromisoformat(found.started), datetime.fromisoformat(found.finished)
    assert started.tzinfo == UTC
    assert before <= started.timestamp() <= finished.timestamp() <= time.time() + 1
