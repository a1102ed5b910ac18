"""Every type of PostgreSQL arrives in the raw layer, value for value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest_assets.aws.content import differences
from ingest_assets.aws.raw_layer import RawLayer
from spark_scripts.contract.tables import Table
from tests.integration import type_tables
from tests.integration.published import Run
from tests.integration.type_cases import SCALARS, WITHOUT_VALUES
from tests.integration.type_matrix import csv_matrix, parquet_matrix
from tests.integration.type_parquet import NATIVE
from tests.integration.whole import manifests, settle

EVERY = {**SCALARS, **{name: [] for name in WITHOUT_VALUES}}


@pytest.fixture
def source(source: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    settle(source)
    return source


def test_every_type_of_the_server_is_tried(source: psycopg.Connection[Any]) -> None:
    tables = type_tables.create(source, EVERY)
    untried = source.execute(
        """
        SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
        AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = pg_type.oid)
        AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = ANY (%s::regclass[]) AND atttypid = pg_type.oid)
        """,
        [[table.table for table in tables]],
    ).fetchall()
    assert untried == []


@pytest.mark.usefixtures("either_way")
def test_a_csv_field_is_what_postgresql_writes_and_reads_back_to_the_value(
    run: Run, source: psycopg.Connection[Any], bucket: Path, raw_layer: RawLayer
) -> None:
    tables = type_tables.create(source, EVERY)
    with type_tables.hostile_defaults(source):
        run("types-csv", *tables)
    matrix = csv_matrix(source, bucket, tables, WITHOUT_VALUES)
    matrix.summarise("CSV")
    assert matrix.broken == {}
    assert _changed(raw_layer, bucket, tables) == []


def test_parquet_holds_every_value_natively_or_as_text(
    run: Run, source: psycopg.Connection[Any], bucket: Path, raw_layer: RawLayer
) -> None:
    tables = [Table(**{**table.__dict__, "format": "parquet"}) for table in type_tables.create(source, EVERY)]
    with type_tables.hostile_defaults(source):
        run("types-parquet", *tables)
    matrix = parquet_matrix(source, bucket, tables, WITHOUT_VALUES)
    matrix.summarise("Parquet")
    assert matrix.broken == {}
    assert matrix.native == NATIVE
    assert _changed(raw_layer, bucket, tables) == []


def _changed(raw_layer: RawLayer, bucket: Path, tables: list[Table]) -> list[str]:
    """What differs between the digests that Spark took while it wrote and those that Python takes of the files."""
    found = [each for table in tables for each in manifests(bucket, table).values()]
    return [difference for each in found for difference in differences(raw_layer, each)]
