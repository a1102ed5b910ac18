"""The columns of Parquet files: their types, and values that the types do not have."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from spark_scripts.contract.months import UNDATED, Partition
from spark_scripts.contract.tables import Table
from tests.integration.published import Run, manifest
from tests.integration.records import FEBRUARY, JANUARY


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
    odd = Table(
        "odd", 'job."Odd ""Name"', "at", "2024-01", timezone="America/Chicago", format="parquet", verify="content"
    )
    run("zoned", odd)
    assert [manifest(bucket, odd, month).rows for month in (JANUARY, FEBRUARY)] == [1, 2]
    [file] = manifest(bucket, odd, JANUARY).files
    frame = spark.read.parquet(str(bucket / file.key))
    assert dict(frame.dtypes) == {
        "at": "timestamp", "amount": "decimal(12,2)", "year": "int", "Year": "date", "a,b": "string"
    }  # fmt: skip
    [row] = frame.select("amount", "year", frame.at.cast("string"), frame["Year"].cast("string")).collect()
    assert tuple(row) == (Decimal("1.10"), 1, "2024-02-01 05:59:59.999", "1500-02-28")


def test_parquet_has_infinite_dates_and_nan_as_text_in_further_columns(
    run: Run, records: Table, bucket: Path, spark: SparkSession, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE TABLE job.edges (at timestamp, due date, seen timestamptz, amount numeric(6, 2))")
    source.execute(
        "INSERT INTO job.edges VALUES ('-infinity', '2024-01-01', now(), 1), (NULL, 'infinity', NULL, NULL),"
        " ('2024-01-31', '-infinity', '294276-12-31 23:59:59.999999Z', 'NaN'), ('2024-02-01', NULL, now(), 9999.99)"
    )
    edges = Table("edges", "job.edges", "at", "2024-01", format="parquet", verify="content")
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
