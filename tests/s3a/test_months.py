"""What arrives over S3A: full ingests, months, Parquet, months again, emptied months, the catalog; and its requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import duckdb
import psycopg
import pytest
from pyspark.sql import SparkSession

from aws_setup.local import s3a
from aws_setup.local.emulator.spark import object_store
from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.tables import Table
from spark_scripts.glue.catalog import Catalog
from spark_scripts.lake.bucket import Lake
from tests.integration.crashing import ingest_into
from tests.integration.published import Run, manifest
from tests.integration.whole import differing, execute, manifests, settle
from tests.s3a import mirror
from tests.s3a.conftest import Bucket
from tests.s3a.counting import Requests

MONTHS = [Month(2024, number) for number in (1, 2, 3)]
FEBRUARY = MONTHS[1]
LABELS = {"2024-01", "2024-02", "2024-03", UNDATED.key}


def table(name: str, **changes: Any) -> Table:
    return Table(name, "s3a.records", "at", "2024-01", **{"slice_by": "ctid", "slices": 2, **changes})


@pytest.fixture
def source(source: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The source with a table of three months and rows without one: quotes, commas, line breaks, NULL and ''."""
    settle(source)
    execute(
        source,
        """
        DROP SCHEMA IF EXISTS s3a CASCADE; CREATE SCHEMA s3a;
        CREATE TABLE s3a.records (id int PRIMARY KEY, at timestamp, note text);
        INSERT INTO s3a.records SELECT n, '2024-01-10'::timestamp + n % 3 * interval '1 month',
            CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'a"b,\\n' || n ELSE repeat('x', 500) END
            FROM generate_series(1, 600) n;
        INSERT INTO s3a.records VALUES (0, NULL, 'never'), (-1, 'infinity', 'always');
        """,
    )
    yield source
    execute(source, "DROP SCHEMA s3a CASCADE")


def listed(bucket: Bucket, table: Table) -> dict[str, set[str]]:
    """The keys of the files that each month's manifest lists, once the objects of the months are found to be those."""
    folder = bucket.of(table)
    found = {label: {file.key for file in month.files} for label, month in manifests(folder, table).items()}
    there = {str(path.relative_to(folder)) for path in folder.rglob("run-*") if path.is_file()}
    assert there == set().union(*found.values())
    return found


def staged(bucket: Bucket, table: Table) -> list[str]:
    """The objects in staging of the table, directory markers among them."""
    return [key for key in mirror.objects(bucket.client, bucket.name, layout.STAGING) if f"/{table.name}/" in key]


def test_the_file_system_is_s3a_of_hadoop_3_4_and_keeps_directory_markers(
    spark: SparkSession, lake: Lake, bucket: Bucket, run: Run, source: psycopg.Connection[Any]
) -> None:
    hadoop: Any = spark._jvm.org.apache.hadoop  # type: ignore[union-attr]
    sdk: Any = spark._jvm.software.amazon.awssdk.core.util.VersionInfo.SDK_VERSION  # type: ignore[union-attr]
    print(f"\nHadoop {hadoop.util.VersionInfo.getVersion()}, AWS SDK {sdk}")
    assert (hadoop.util.VersionInfo.getVersion(), sdk) == (s3a.HADOOP, s3a.SDK)
    assert lake._fs.getClass().getName() == object_store.FILE_SYSTEM
    assert bucket.client.get_bucket_versioning(Bucket=bucket.name)["Status"] == "Enabled"
    run("markers", table("marked"))
    assert mirror.markers(bucket.client, bucket.name, layout.RAW_LAYER)


def test_a_full_ingest_arrives_whole_and_leaves_nothing_in_staging(
    run: Run, bucket: Bucket, source: psycopg.Connection[Any]
) -> None:
    records = table("records")
    run("full", records)
    assert listed(bucket, records).keys() == LABELS
    assert differing(source, bucket.of(records), records) == []
    assert staged(bucket, records) == []


def test_verify_content_reads_back_what_arrived(run: Run, bucket: Bucket, source: psycopg.Connection[Any]) -> None:
    verified = table("verified", verify="content")
    run("verified", verified)
    assert differing(source, bucket.of(verified), verified) == []


def test_parquet_arrives_whole_and_is_verified(run: Run, bucket: Bucket, source: psycopg.Connection[Any]) -> None:
    parquet = table("parquet", format="parquet", verify="content")
    run("parquet", parquet)
    assert listed(bucket, parquet).keys() == LABELS
    files = f"{bucket.of(parquet)}/**/*.parquet"
    rows = duckdb.execute("SELECT id, note FROM read_parquet(?, hive_partitioning=false)", [files]).fetchall()
    assert sorted(rows) == sorted(source.execute("SELECT id, note FROM s3a.records").fetchall())


def test_a_second_ingest_of_a_month_replaces_its_objects_and_no_others(
    run: Run, bucket: Bucket, source: psycopg.Connection[Any]
) -> None:
    records = table("again")
    run("first", records)
    before = listed(bucket, records)
    execute(source, "UPDATE s3a.records SET note = 'changed' WHERE at >= '2024-02-01' AND id % 2 = 0 AND isfinite(at)")
    run("second", records, months=[FEBRUARY])
    after = listed(bucket, records)
    assert {label for label in LABELS if before[label] != after[label]} == {"2024-02", UNDATED.key}
    assert not before["2024-02"] & after["2024-02"]
    assert manifest(bucket.of(records), records, FEBRUARY).execution == "second"
    run("third", records, months=MONTHS)
    assert differing(source, bucket.of(records), records) == []


def test_a_month_whose_rows_are_gone_becomes_empty(run: Run, bucket: Bucket, source: psycopg.Connection[Any]) -> None:
    for number, months in enumerate(([FEBRUARY], None)):
        records = table(f"emptied{number}")
        run("before", records)
        execute(source, "DELETE FROM s3a.records WHERE at >= '2024-02-01' AND at < '2024-03-01'")
        run("after", records, months=months)
        assert listed(bucket, records)["2024-02"] == set()
        assert differing(source, bucket.of(records), records) == []
        execute(source, "INSERT INTO s3a.records VALUES (1000, '2024-02-29', 'again')")


def test_a_table_that_reads_as_empty_empties_no_month(
    run: Run, bucket: Bucket, source: psycopg.Connection[Any]
) -> None:
    records = table("loaded")
    run("before", records)
    before = listed(bucket, records)
    execute(source, "DELETE FROM s3a.records")
    with pytest.raises(IngestionError, match="has no rows at all"):
        run("after", records)
    assert (listed(bucket, records), staged(bucket, records)) == (before, [])


def test_the_catalog_has_a_partition_for_each_month_that_has_rows(
    run: Run, bucket: Bucket, session: boto3.session.Session, source: psycopg.Connection[Any]
) -> None:
    parquet = table("catalogued", format="parquet")
    catalog, glue = Catalog(session, "s3a", bucket.name), session.client("glue")

    def partitions() -> dict[tuple[str, ...], str]:
        found = glue.get_partitions(DatabaseName="s3a", TableName="catalogued")["Partitions"]
        return {tuple(one["Values"]): one["StorageDescriptor"]["Location"] for one in found}

    run("catalogued", parquet, catalog=catalog)
    assert set(partitions()) == {("2024", "1"), ("2024", "2"), ("2024", "3"), ("0", "0")}
    for label, keys in listed(bucket, parquet).items():
        location = partitions()[Partition.of_key(label).glue_values]
        assert all(f"s3://{bucket.name}/{key}".startswith(location.rstrip("/") + "/") for key in keys)
        assert keys
    execute(source, "DELETE FROM s3a.records WHERE at >= '2024-02-01' AND at < '2024-03-01'")
    run("emptied", parquet, months=[FEBRUARY], catalog=catalog)
    assert set(partitions()) == {("2024", "1"), ("2024", "3"), ("0", "0")}


class Together:
    """An S3 client with which no copy ends before another has begun."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._both = threading.Barrier(2, timeout=60)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def copy_object(self, **arguments: Any) -> Any:
        self._both.wait()
        return self._client.copy_object(**arguments)


def test_the_files_of_a_month_are_moved_side_by_side(
    spark: SparkSession, lake: Lake, database: Database, bucket: Bucket, source: psycopg.Connection[Any]
) -> None:
    execute(source, "DELETE FROM s3a.records WHERE at IS NULL OR NOT isfinite(at)")
    records = table("together")
    client: Any = Together(lake._client)
    lake._client = client
    ingest_into(spark, database, lake, "together", records, [FEBRUARY])
    assert len(listed(bucket, records)["2024-02"]) == 2
    assert manifest(bucket.of(records), records, FEBRUARY).rows == 200


# Measured with Hadoop 3.4.1: LIST 25, HEAD 19, PUT 10, COPY 3, DELETE 5.
# On a slow machine the progress is written more often.
MOST = {"LIST": 28, "HEAD": 22, "PUT": 19, "COPY": 3, "DELETE": 6}


def test_a_month_is_published_with_few_requests(run: Run, requests: Requests, source: psycopg.Connection[Any]) -> None:
    execute(source, "DELETE FROM s3a.records WHERE at IS NULL OR NOT isfinite(at)")
    records = table("counted", slices=1)
    for execution in ("new", "again"):
        with requests.counted() as count:
            run(execution, records, months=[FEBRUARY])
        print(f"\na month, {execution}: {count}")
        assert {kind: number for kind, number in count.kinds.items() if number > MOST.get(kind, 0)} == {}
