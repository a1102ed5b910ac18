"""`verify: full` reads CSV back through Spark; what Spark's reader cannot read is refused before anything is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts.contract import layout
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table
from tests.integration.published import Run, manifest
from tests.integration.whole import execute

JANUARY = Month(2024, 1)


@pytest.fixture
def source(source: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    execute(source, "DROP SCHEMA IF EXISTS verified CASCADE; CREATE SCHEMA verified")
    yield source
    execute(source, "DROP SCHEMA verified CASCADE")


def full(name: str, **changes: Any) -> Table:
    return Table(name, f"verified.{name}", "at", "2024-01", **{"verify": "content", **changes})


def test_rows_of_one_column_that_is_null_are_refused_and_nothing_is_written(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    execute(source, "CREATE TABLE verified.lone AS SELECT * FROM (VALUES ('2024-01-02'::date), (NULL)) AS v (at)")
    told = "table lone: verify: full cannot read rows back whose only column, at, is NULL.*set verify: count"
    for months in (None, [JANUARY]):
        with pytest.raises(IngestionError, match=told):
            run("lone", full("lone"), months=months)
    assert list((bucket / layout.RAW_LAYER / "lone").rglob("*.csv")) == []
    run("lone-counted", full("lone", verify="count"))
    assert [manifest(bucket, full("lone"), partition).rows for partition in (JANUARY, UNDATED)] == [1, 1]


def test_one_column_without_null_is_read_back(run: Run, source: psycopg.Connection[Any], bucket: Path) -> None:
    execute(source, "CREATE TABLE verified.dated AS SELECT '2024-01-01'::date + n AS at FROM generate_series(0, 9) n")
    run("dated", full("dated"))
    assert manifest(bucket, full("dated"), JANUARY).rows == 10


def test_a_column_with_the_name_that_spark_reserves_is_refused_in_csv_only(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    execute(source, "CREATE TABLE verified.corrupt (at date, _corrupt_record text)")
    execute(source, "INSERT INTO verified.corrupt VALUES ('2024-01-01', 'x'), ('2024-01-02', NULL)")
    told = "table corrupt: verify: full cannot read the CSV of column _corrupt_record back.*set verify: count"
    with pytest.raises(IngestionError, match=told):
        run("corrupt", full("corrupt"), months=[JANUARY])
    assert list((bucket / layout.RAW_LAYER / "corrupt").rglob("*.csv")) == []
    for accepted in (full("corrupt", verify="count"), full("corrupt", format="parquet")):
        run(f"corrupt-{accepted.format}", accepted, months=[JANUARY])
        assert manifest(bucket, accepted, JANUARY).rows == 2


def test_long_fields_and_many_columns_are_read_back(run: Run, source: psycopg.Connection[Any], bucket: Path) -> None:
    names = ", ".join(f"c{number} text" for number in range(1500))
    execute(source, f"CREATE TABLE verified.wide (at date, {names})")
    execute(source, "INSERT INTO verified.wide (at, c9) VALUES ('2024-01-01', repeat(E'\"\\n,x', 2500000)), (NULL, '')")
    run("wide", full("wide"))
    assert [manifest(bucket, full("wide"), partition).rows for partition in (JANUARY, UNDATED)] == [1, 1]


def test_a_line_break_of_another_kind_in_a_columns_name_is_read_back(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    execute(source, 'CREATE TABLE verified.breaks ("a\r\n" text, at date)')
    execute(
        source, "INSERT INTO verified.breaks VALUES (E'\\r\\n', '2024-01-01'), ('', '2024-01-02'), (NULL, '2024-01-03')"
    )
    run("breaks", full("breaks"))
    assert manifest(bucket, full("breaks"), JANUARY).rows == 3
