"""The published CSV is RFC 4180: its readers get back what was in the table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas  # type: ignore[import-untyped]
import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from tests.integration.published import Run, copied_back, manifest
from tests.integration.type_cases import TEXTS
from tests.integration.type_tables import quoted
from tests.integration.whole import execute, settle

JANUARY = Month(2024, 1)
COLUMNS = ['first "quoted"', "id", "at", "a,b", "two\nlines", "last"]
VALUES = [
    None, *TEXTS, '"\n"', '",\n,"', "\n\n", "a\r", "\ra", '"\r\n', 'a\\"b', "\\\\", "=1+1", "''", "nan", "NaN", "NA",
    "N/A", "None", "<null>", "0", "1e5", "true", "2024-01-01", "\u2028", "\x0b\x0c\x1c\x1d\x1e", "|", "a\tb", '""""',
    "ß" * 70_000,
]  # fmt: skip

Row = tuple[str | None, ...]


@pytest.fixture
def naughty(source: psycopg.Connection[Any]) -> Iterator[Table]:
    """Each naughty text as first, last and inner field, beside NULL and the empty string, in one month."""
    settle(source)
    execute(source, "DROP SCHEMA IF EXISTS readers CASCADE; CREATE SCHEMA readers")
    types = ("text", "int", "timestamp", "text", "text[]", "text")
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in zip(COLUMNS, types, strict=True))
    execute(source, f"CREATE TABLE readers.naughty ({columns})")
    with source.cursor() as cursor:
        for index, value in enumerate(VALUES):
            for first, inner, last in ((value, None, ""), ("", value, None), (None, "", value), (value, value, value)):
                cursor.execute(
                    "INSERT INTO readers.naughty VALUES (%s, %s, '2024-01-15 10:20:30.000001', %s, %s, %s)",
                    [first, index, inner, [inner, last], last],
                )
        cursor.execute("INSERT INTO readers.naughty (at) VALUES ('2024-01-31')")
    yield Table("naughty", "readers.naughty", "at", "2024-01", verify="content")
    execute(source, "DROP SCHEMA readers CASCADE")


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [(field is not None, field or "") for field in row])


def null_as_empty(rows: list[Row]) -> list[Row]:
    return in_order([tuple(field or "" for field in row) for row in rows])


def test_every_reader_gets_the_table_back(
    run: Run, naughty: Table, bucket: Path, source: psycopg.Connection[Any], spark: SparkSession
) -> None:
    run("readers", naughty, months=[JANUARY])
    found = manifest(bucket, naughty, JANUARY)
    texts = ", ".join(f"{quoted(name)}::text" for name in COLUMNS)
    expected = in_order(source.execute(f"SELECT {texts} FROM readers.naughty".encode()).fetchall())
    assert len(expected) == 4 * len(VALUES) + 1
    files = [bucket / file.key for file in found.files]
    assert null_as_empty(by_python(files)) == null_as_empty(expected)
    assert null_as_empty(by_pandas(files)) == null_as_empty(expected)
    assert in_order(by_spark(spark, files)) == expected
    assert in_order(by_duckdb(files)) == expected
    copied_back(source, bucket, found, "readers.back")
    assert in_order(source.execute("SELECT * FROM readers.back").fetchall()) == expected


LONG = 5_000_000


@pytest.fixture
def long(source: psycopg.Connection[Any]) -> Iterator[Table]:
    """Fields of 5 MB, one of which is quotes and line breaks, beside the columns that the readers expect."""
    settle(source)
    execute(source, "DROP SCHEMA IF EXISTS readers CASCADE; CREATE SCHEMA readers")
    types = ", ".join(f"{quoted(name)} {'date' if name == 'at' else 'text'}" for name in COLUMNS)
    execute(source, f"CREATE TABLE readers.long ({types})")
    for first, last in ((f"repeat('x', {LONG})", "NULL"), ("''", f"repeat(E'\"\\n', {LONG // 2})")):
        execute(source, f"INSERT INTO readers.long VALUES ({first}, '1', '2024-01-15', NULL, '', {last})")
    yield Table("long", "readers.long", "at", "2024-01", verify="content")
    execute(source, "DROP SCHEMA readers CASCADE")


def test_every_reader_gets_fields_of_five_megabytes_back(
    run: Run, long: Table, bucket: Path, source: psycopg.Connection[Any], spark: SparkSession
) -> None:
    run("long", long, months=[JANUARY])
    found = manifest(bucket, long, JANUARY)
    texts = ", ".join(f"{quoted(name)}::text" for name in COLUMNS)
    expected = in_order(source.execute(f"SELECT {texts} FROM readers.long".encode()).fetchall())
    files = [bucket / file.key for file in found.files]
    assert null_as_empty(by_python(files)) == null_as_empty(expected)
    assert null_as_empty(by_pandas(files)) == null_as_empty(expected)
    assert in_order(by_spark(spark, files)) == expected
    assert in_order(by_duckdb(files, max_line_size=2 * LONG)) == expected
    copied_back(source, bucket, found, "readers.back")
    assert in_order(source.execute("SELECT * FROM readers.back").fetchall()) == expected
    with pytest.raises(duckdb.InvalidInputException, match="max_line_size"):  # so the README names both
        by_duckdb(files)
    with pytest.raises(csv.Error, match="field larger than field limit"):
        by_python(files, limit=131_072)  # Python's default


def by_python(files: list[Path], limit: int = sys.maxsize) -> list[Row]:
    csv.field_size_limit(limit)
    rows: list[Row] = []
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            header, *body = csv.reader(lines, strict=True)
        assert header == COLUMNS
        rows += map(tuple, body)
    return rows


def by_pandas(files: list[Path]) -> list[Row]:
    rows: list[Row] = []
    for file in files:
        frame = pandas.read_csv(file, dtype=str, keep_default_na=False)
        assert list(frame.columns) == COLUMNS
        rows += frame.itertuples(index=False, name=None)
    return rows


def by_spark(spark: SparkSession, files: list[Path]) -> list[Row]:
    # Spark makes NULL of every field that equals `nullValue`, by default of the quoted empty one too. No text of
    # PostgreSQL has the character 0; what Spark reads for an empty field without quotes is then it, and so NULL.
    reader = spark.read.options(header="true", multiLine="true", escape='"', nullValue="\0", mode="FAILFAST")
    frame = reader.csv([str(file) for file in files])
    assert frame.columns == COLUMNS
    return [tuple(row) for row in frame.collect()]


def by_duckdb(files: list[Path], **options: Any) -> list[Row]:
    frame = duckdb.read_csv(
        [str(file) for file in files],
        header=True,
        all_varchar=True,
        quotechar='"',
        escapechar='"',
        delimiter=",",
        allow_quoted_nulls=False,
        hive_partitioning=False,  # the year and month of the path are no columns of the file
        **options,
    )
    assert frame.columns == COLUMNS
    return frame.fetchall()
