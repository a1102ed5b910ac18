"""A column that is retyped between months: the Parquet folder cannot be read as one, and the check says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster_aws.s3 import S3Resource
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from ingest_assets.checks.results import Evaluated, evaluations
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from spark_scripts.contract import layout
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from tests.integration.published import Run, manifest
from tests.integration.whole import execute

JANUARY, FEBRUARY, MARCH = (Month(2024, number) for number in (1, 2, 3))
TABLE = Table("retyped", "retyped.records", "at", "2024-01", format="parquet")

Check = Callable[[Month], dg.AssetCheckEvaluation]


@pytest.fixture
def check(account: Any, bucket: Path) -> Check:
    """The check `columns_unchanged` of a month as it is now."""
    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())

    def check(month: Month) -> dg.AssetCheckEvaluation:
        evaluated = Evaluated(dg.AssetKey(["raw_layer", TABLE.name]), str(month))
        every = evaluations(raw_layer, evaluated, manifest(bucket, TABLE, month))
        return {evaluation.check_name: evaluation for evaluation in every}["columns_unchanged"]

    return check


@pytest.fixture
def retyped(run: Run, source: psycopg.Connection[Any]) -> Iterator[None]:
    """January to March. February was ingested again after one column got another type and one became lossy."""
    execute(
        source,
        """DROP SCHEMA IF EXISTS retyped CASCADE; CREATE SCHEMA retyped;
        CREATE TABLE retyped.records (at date, n int, due date);
        INSERT INTO retyped.records SELECT '2024-01-01'::date + 7 * i, i, '2024-01-01'
            FROM generate_series(0, 12) AS i""",
    )
    run("int", TABLE)
    execute(
        source,
        """ALTER TABLE retyped.records ALTER n TYPE bigint;
        UPDATE retyped.records SET due = 'infinity' WHERE at BETWEEN '2024-02-01' AND '2024-02-10'""",
    )
    run("bigint", TABLE, months=[FEBRUARY])
    yield
    execute(source, "DROP SCHEMA retyped CASCADE")


def test_a_retyped_column_breaks_the_folder_until_the_older_months_are_ingested_again(
    run: Run, retyped: None, check: Check, spark: SparkSession, bucket: Path
) -> None:
    folder = str(bucket / layout.RAW_LAYER / TABLE.name)
    with pytest.raises(Py4JJavaError, match=r"Parquet column cannot be converted.*Column: \[n\]"):
        spark.read.parquet(folder).select("n").collect()
    found = [check(month) for month in (JANUARY, FEBRUARY, MARCH)]
    assert [each.passed for each in found] == [False, False, False]
    assert all((each.description or "").endswith("Ingest again 2024-01, 2024-03.") for each in found)
    run("again", TABLE, months=[JANUARY, MARCH])
    assert sorted(row[0] for row in spark.read.parquet(folder).select("n").collect()) == list(range(13))
    assert [check(month).passed for month in (JANUARY, FEBRUARY, MARCH)] == [True, True, True]
