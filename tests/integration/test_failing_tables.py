"""What stays when a table fails, and what the error names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError, InvalidInputError
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.errors import SourceError
from spark_scripts.postgres.source import Source
from tests.integration.crashing import files_below
from tests.integration.published import Run, manifest, objects
from tests.integration.records import FEBRUARY, JANUARY, NAUGHTY


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
    with pytest.raises(IngestionError, match=r"1 of 1 table failed: fragile 2024-02: .*division by zero"):
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
        ({"columns": {"labels": {"join": ","}}}, "no column labels, named in `columns`"),
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


def test_a_lost_snapshot_fails_every_table_with_its_reason(
    spark: SparkSession, database: Database, records: Table, lake: Lake, source: psycopg.Connection[Any]
) -> None:
    other = Table(**{**records.__dict__, "name": "other"})
    keys = [lock_key(lake.bucket, table.name) for table in (records, other)]
    with Locks.taken(spark, database, "locks", keys) as locks, Source.connect(spark, database, "gone") as gone:
        source.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gone'")
        with pytest.raises(IngestionError, match=r"2 of 2 tables failed: records.*; other"):
            ingest(spark, gone, locks, lake, [TableRequest(table, None) for table in (records, other)])


class WrongBucket:
    """An S3 client that sends what is written for the table `records` to a bucket that does not exist."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

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
        pytest.raises(IngestionError, match=r"1 of 2 tables failed: records.*undated.json cannot be written"),
    ):
        ingest(spark, source, locks, Lake(spark, client, bucket.name), requests)
    assert manifest(bucket, tables[1], JANUARY).execution == "refused"


def test_rows_that_went_missing_fail_the_month_and_publish_nothing(
    run: Run, records: Table, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = objects(bucket, records, FEBRUARY)
    monkeypatch.setattr(
        "spark_scripts.postgres.sql.slices", lambda *_: ["sliced BETWEEN '2024-02-01' AND '2024-02-02'"]
    )
    message = f"0 rows arrived, the source counted {len(NAUGHTY)} in the same snapshot"
    with pytest.raises(IngestionError, match=message):
        run("short", replace(records, slice_by="date"), months=[FEBRUARY])
    assert objects(bucket, records, FEBRUARY) == before


def test_the_error_about_a_wrong_password_does_not_show_it(spark: SparkSession, database: Database) -> None:
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
