"""Rows larger than a fetch arrive in both formats, as far as heap and PostgreSQL allow; else a sentence says why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from ingest_assets.aws.stack import StackOutputs
from spark_scripts.contract import layout
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table, tables_to_json
from tests.integration.conftest import Account
from tests.integration.drivers import Driver, Launcher
from tests.integration.published import Run, manifest, read_csv_of_any_length
from tests.integration.whole import execute

JANUARY, FEBRUARY = Month(2024, 1), Month(2024, 2)
SCANNED = "(SELECT string_agg(decode(md5(i::text), 'hex'), '') FROM generate_series(1, 36000000 / 16) AS i)"


@pytest.fixture(scope="module", autouse=True)
def schema(account: Account) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(account.source_dsn, autocommit=True) as owner:
        execute(owner, "DROP SCHEMA IF EXISTS large CASCADE; CREATE SCHEMA large")
        yield owner
        execute(owner, "DROP SCHEMA large CASCADE")


@pytest.fixture(scope="module")
def launcher(account: Account, outputs: StackOutputs, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    folder = tmp_path_factory.mktemp("drivers")
    return Launcher(account, outputs.bucket_name, outputs.database_secret_arn, folder)


def created(source: psycopg.Connection[Any], name: str, columns: str, rows: str) -> Table:
    execute(source, f"CREATE TABLE large.{name} (id int, at date, {columns}); INSERT INTO large.{name} {rows}")
    return Table(name, f"large.{name}", "at", "2024-01")


def in_parquet(table: Table, compression: str | None = None) -> Table:
    return replace(table, name=f"{table.name}-parquet", format="parquet", compression=compression)


@contextmanager
def ingested(launcher: Launcher, bucket: Path, heap: str, *tables: Table) -> Iterator[Driver]:
    """A driver with that heap that has tried to ingest all of these tables, and has ended."""
    file = bucket / layout.TABLES_KEY
    before = file.read_bytes()
    file.write_text(tables_to_json(tables), encoding="utf-8")
    try:
        with launcher.started(f"large-{heap}", {}, heap=heap) as driver:
            driver.child.wait(240)
            yield driver
    finally:
        file.write_bytes(before)


def digests(bucket: Path, table: Table, month: Month, column: str) -> dict[str, str]:
    """The MD5 of the column's text, or of a bytea in Parquet, by id, for the rows that have a value."""
    found = manifest(bucket, table, month)
    if table.format == "parquet":
        files = [str(bucket / file.key) for file in found.files]
        query = f"SELECT id::text, {column} FROM read_parquet(?) WHERE {column} IS NOT NULL"
        rows = duckdb.execute(query, [files]).fetchall()
    else:
        position = [each.name for each in found.columns].index(column)
        rows = [(row[0], row[position]) for row in read_csv_of_any_length(bucket, found) if row[position]]
    return {key: md5(value if isinstance(value, bytes) else value.encode()) for key, value in rows}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # noqa: S324 (no secret)


@dataclass(frozen=True)
class Arrived:
    """Tables that one driver with a heap of 1 GB has ingested, those of `both` in Parquet as well, and what it said."""

    both: tuple[Table, ...]
    among: Table
    told: str


@pytest.fixture(scope="module")
def arrived(launcher: Launcher, schema: psycopg.Connection[Any], bucket: Path) -> Arrived:
    scans = created(schema, "scans", "scan bytea", f"VALUES (1, '2024-01-05', {SCANNED}), (2, '2024-01-06', '\\x00')")
    rows = "SELECT n, '2024-01-05'::date, repeat(n || 'abcdefghi,', 3000000) FROM generate_series(10, 21) AS n"
    pages = replace(created(schema, "pages", "page text", rows), compression="gzip")
    x = "(SELECT repeat('0123\"56789', 1000000) AS x)"
    rows = f"SELECT 1, '2024-01-05'::date, x, x || 'y', convert_to(x, 'UTF8'), ARRAY[x, NULL, ','] FROM {x} AS x"
    several = created(schema, "several", "a text, b text, c bytea, d text[]", rows)
    rows = """SELECT n, '2024-01-05'::date, CASE n WHEN 50000 THEN repeat('0123456789', 7200000) ELSE 'small' END
        FROM generate_series(1, 100000) AS n"""
    among = created(schema, "among", "doc text", rows)
    parquet = [in_parquet(scans, "zstd"), in_parquet(pages), in_parquet(several, "gzip")]
    with ingested(launcher, bucket, "1g", scans, pages, several, *parquet, among) as driver:
        assert driver.child.wait(1) == 0, driver.told()[-3000:]
        return Arrived((scans, pages, several), among, driver.told())


def test_large_rows_arrive_in_both_formats(arrived: Arrived, source: psycopg.Connection[Any], bucket: Path) -> None:
    assert "scans: rows are large, fetching 1 at a time" in arrived.told
    scans, pages, several = arrived.both
    for table, column in [(scans, "scan"), (pages, "page"), *((several, column) for column in "abcd")]:
        texts = source.execute(f"SELECT id::text, md5({column}::text) FROM {table.table}".encode())
        expected = dict(texts.fetchall())
        assert digests(bucket, table, JANUARY, column) == expected
        if column in ("scan", "c"):
            binary = source.execute(f"SELECT id::text, md5({column}) FROM {table.table}".encode())
            expected = dict(binary.fetchall())
        assert digests(bucket, in_parquet(table), JANUARY, column) == expected


def test_a_large_row_among_many_small_ones_arrives(arrived: Arrived, bucket: Path) -> None:
    found = digests(bucket, arrived.among, JANUARY, "doc")
    assert len(found) == 100_000
    assert found["50000"] == md5(b"0123456789" * 7_200_000)
    assert manifest(bucket, arrived.among, JANUARY).seconds < 120  # 15 on a machine of two cores


def test_a_text_of_200_mb_arrives_in_both_formats_with_a_heap_of_3_gb(
    launcher: Launcher, source: psycopg.Connection[Any], bucket: Path
) -> None:
    long = created(source, "long", "doc text", "VALUES (1, '2024-01-05', repeat('0123456789', 20000000))")
    with ingested(launcher, bucket, "3g", long, in_parquet(long)) as driver:
        assert driver.child.wait(1) == 0, driver.told()[-3000:]
    expected = {"1": md5(b"0123456789" * 20_000_000)}
    assert digests(bucket, long, JANUARY, "doc") == expected
    assert digests(bucket, in_parquet(long), JANUARY, "doc") == expected


def test_the_error_about_a_heap_too_small_for_a_row_names_the_parameter_to_raise(
    launcher: Launcher, source: psycopg.Connection[Any], bucket: Path
) -> None:
    wide = created(source, "tight", "doc text", "VALUES (1, '2024-01-05', repeat('0123456789', 20000000))")
    with ingested(launcher, bucket, "512m", wide) as driver:
        assert driver.child.wait(1) == 1, driver.told()[-3000:]
        told = driver.told()
    [last] = [line for line in told.splitlines() if line.startswith("IngestionError: ")]
    assert "tight 2024-01: the driver's heap of 512m is too small for the rows" in last
    assert "raise the stack's parameter DriverMemory" in last
    assert not (bucket / layout.current_manifest_key("tight", JANUARY)).exists()


def test_the_error_about_a_row_that_postgresql_cannot_build_says_what_to_do(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    half = "repeat('0123456789', 60000000)"
    vast = created(
        source, "vast", "a text, b text", f"VALUES (1, '2024-02-05', {half}, NULL), (2, '2024-01-05', 'small', NULL)"
    )
    execute(source, f"UPDATE large.vast SET b = {half} WHERE id = 1")
    for table in (vast, in_parquet(vast)):
        told = f"{table.name} 2024-02: a row is more than the 1 GB that PostgreSQL can build or send .*: name .* a view"
        with pytest.raises(IngestionError, match=told):
            run("vast", table, months=[JANUARY, FEBRUARY])
        assert manifest(bucket, table, JANUARY).rows == 1  # the months before it stay
        assert not (bucket / layout.current_manifest_key(table.name, FEBRUARY)).exists()
