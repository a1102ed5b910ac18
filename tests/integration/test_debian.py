"""What the embedded PostgreSQL lacks, on Debian's with contrib: xml, types of extensions, foreign tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts.contract.database import Database
from spark_scripts.contract.privacy import Options
from spark_scripts.contract.tables import Table
from tests.integration import type_tables
from tests.integration.published import Run
from tests.integration.servers import INSTALLED, MISSING, database_of, debian_programs, new_server
from tests.integration.type_cases import EXTENSIONS, SCALARS, XML
from tests.integration.type_matrix import csv_matrix, parquet_matrix
from tests.integration.whole import differing, execute, manifests, settle

pytestmark = pytest.mark.skipif(not INSTALLED, reason=MISSING)


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with new_server(debian_programs()) as server:
        yield server.dsn


@pytest.fixture(scope="module")
def database(dsn: str) -> Database:
    """The source of `run`, in place of the local account's."""
    return database_of(dsn)


@pytest.fixture
def source(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        settle(connection)
        yield connection


def test_xml_the_types_of_extensions_and_all_built_in_ones_arrive_whole(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    execute(source, "; ".join(f"CREATE EXTENSION IF NOT EXISTS {name}" for name in EXTENSIONS))
    own = {kind: values for types in EXTENSIONS.values() for kind, values in types.items()} | {"xml": XML}
    csv = type_tables.create(source, {**SCALARS, **own})
    parquet = [Table(**{**table.__dict__, "name": f"{table.name}-parquet", "format": "parquet"}) for table in csv]
    with type_tables.hostile_defaults(source):
        run("debian-types", *csv, *parquet)
    matrix = csv_matrix(source, bucket, csv, {})
    matrix.summarise("Debian, CSV")
    assert set(own) < set(matrix.tried)
    assert matrix.broken == {}
    matrix = parquet_matrix(source, bucket, parquet, {})
    matrix.summarise("Debian, Parquet")
    assert matrix.broken == {}


def test_foreign_tables_arrive_whole(
    run: Run, source: psycopg.Connection[Any], bucket: Path, database: Database
) -> None:
    execute(
        source,
        f"""
        CREATE EXTENSION IF NOT EXISTS postgres_fdw;
        DROP SCHEMA IF EXISTS far CASCADE; CREATE SCHEMA far;
        DROP SERVER IF EXISTS loopback CASCADE;
        CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw
            OPTIONS (host '127.0.0.1', port '{database.port}', dbname '{database.name}');
        CREATE USER MAPPING FOR CURRENT_USER SERVER loopback
            OPTIONS (user '{database.user}', password '{database.password}');
        CREATE TABLE far.origin (id int, at timestamptz, "Note, 1" text);
        INSERT INTO far.origin SELECT n, '2024-01-31 23:00Z'::timestamptz + n * interval '1 minute',
            CASE n % 3 WHEN 0 THEN 'a"b,' || n WHEN 1 THEN '' END FROM generate_series(1, 300) n;
        INSERT INTO far.origin VALUES (0, NULL, 'never'), (-1, 'infinity', 'always');
        CREATE FOREIGN TABLE far.foreign (id int, at timestamptz, "Note, 1" text)
            SERVER loopback OPTIONS (schema_name 'far', table_name 'origin');
        CREATE TABLE far.parent (id int, at timestamptz, "Note, 1" text) PARTITION BY RANGE (id);
        CREATE TABLE far.near PARTITION OF far.parent FOR VALUES FROM (1000) TO (2000);
        INSERT INTO far.near VALUES (1000, '2024-02-10', 'here');
        ALTER TABLE far.parent ATTACH PARTITION far.foreign FOR VALUES FROM (-10) TO (1000);
        """,
    )
    foreign = Table("foreign", "far.foreign", "at", "2024-01")
    parent = Table("half-foreign", "far.parent", "at", "2024-01")
    run("foreign", foreign, parent)
    assert {month: found.rows for month, found in manifests(bucket, foreign).items()} == {
        "2024-01": 59, "2024-02": 241, "undated": 2
    }  # fmt: skip
    assert differing(source, bucket, foreign) == []
    assert differing(source, bucket, parent) == []


def test_texts_of_a_nondeterministic_collation_arrive_masked_and_whole(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    execute(source, "CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    execute(
        source, "CREATE TABLE no_case (at date, a text COLLATE no_case, b text COLLATE no_case, c text COLLATE no_case)"
    )
    execute(source, "INSERT INTO no_case VALUES ('2024-01-01', 'A\"@b.c', 'A@x.Y', 'abcde')")
    columns: dict[str, Options] = {"b": {"mask": {"domain": True}}, "c": {"mask": {"last": 2}}}
    run("no-case", table := Table("no_case", "public.no_case", "at", "2024-01", columns=columns))
    files = [file for each in manifests(bucket, table).values() for file in each.files]
    assert [(bucket / file.key).read_text() for file in files] == ['at,a,b,c\n2024-01-01,"A""@b.c","x.Y","de"\n']
