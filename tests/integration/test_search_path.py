"""What the job writes means PostgreSQL's own functions, operators and types, whatever the role's search_path holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from tests.integration.hostile import hostile_path
from tests.integration.published import Run
from tests.integration.type_parquet import ParquetTable
from tests.integration.whole import BACK, differing, execute, manifests, read_back, settle

MONTHS = [Month(2024, 2), Month(2024, 3)]
COLUMNS = [
    *("id", "at", "zoned", "day", "amount", "free", "note", "tags", "flag", "bytes", "mood", "own", "own_date", "doc")
]

# `labels` and `upper` in the bodies are found by the path of the session that calls them.
ROWS = """
DROP SCHEMA IF EXISTS mine CASCADE; CREATE SCHEMA mine;
CREATE TYPE mine.mood AS ENUM ('so, so', 'fine');
CREATE TYPE mine.pair AS (a int, b pg_catalog.text);
CREATE DOMAIN mine.date AS timestamp(0);
CREATE TABLE mine.rows (id int, at timestamp, zoned timestamptz(3), day pg_catalog.date, amount numeric(10, 2),
    free numeric, note pg_catalog.text, tags pg_catalog.text[], flag bool, bytes bytea, mood mine.mood, own mine.pair,
    own_date mine.date, doc jsonb);
INSERT INTO mine.rows SELECT n, '2024-02-20'::timestamp + n * interval '1 hour',
    '2024-02-29 20:30Z'::timestamptz + n * interval '20 minutes', '2024-02-25'::pg_catalog.date + n / 24, n / 100.0,
    n / 7.0, CASE n % 3 WHEN 0 THEN 'a "b", ' || n WHEN 1 THEN '' END, ARRAY['x"', n::pg_catalog.text, NULL], n % 2 = 0,
    decode(md5(n::pg_catalog.text), 'hex'), 'so, so', ROW(n, 'c,"d')::mine.pair, '2024-02-20', '{"a": [1, "b"]}'
    FROM generate_series(1, 400) n;
INSERT INTO mine.rows (id, at, zoned, day, amount) VALUES
    (401, NULL, NULL, NULL, 'NaN'), (402, 'infinity', '-infinity', 'infinity', 1),
    (403, '2024-02-28', '2024-03-01', '-infinity', 'NaN'),
    (404, '-infinity', 'infinity', '2024-03-01', NULL),
    (405, '2023-05-01', '2025-01-01', '294247-02-01', 2);
CREATE INDEX ON mine.rows (at); CREATE INDEX ON mine.rows (zoned); ANALYZE mine.rows;
CREATE TABLE mine.labels AS SELECT n AS id, 'label ' || n AS label FROM generate_series(1, 400) n;
CREATE FUNCTION mine.upper(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE
    AS $$ SELECT pg_catalog.concat('own ', $1) $$;
CREATE FUNCTION mine.label(int) RETURNS pg_catalog.text LANGUAGE plpgsql STABLE
    AS $$ BEGIN RETURN (SELECT upper(label) FROM labels WHERE id OPERATOR(pg_catalog.=) $1); END $$;
CREATE FUNCTION mine.inlined(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) $$;
CREATE VIEW mine.labelled AS SELECT id, at, mine.label(id), mine.inlined(note) AS note FROM mine.rows;
"""


def entry(name: str, date: str, **settings: Any) -> Table:
    """An entry for mine.rows."""
    return Table(name, "mine.rows", date, "2024-01", **{"timezone": "CET", **settings})


@pytest.fixture
def source(source: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection, with the rows, while new sessions have the hostile path."""
    settle(source)
    execute(source, ROWS)
    execute(source, "SET search_path = pg_catalog, mine")
    with hostile_path(source, "mine, hostile, public, pg_catalog") as (functions, operators, types, _):
        assert functions > 2000
        assert operators > 750
        assert types > 75
        yield source


def test_the_hostile_schema_catches_names_that_depend_on_the_path(
    account: Any, source: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(account.source_dsn, autocommit=True, options="-c search_path=hostile,pg_catalog") as other:
        for statement in (
            "SELECT replace('a', 'b', 'c')",
            "SELECT 'a'::text",
            "SELECT date '2024-01-01'",
            "SELECT 'a' || 'b'::varchar",
            "SELECT 1 IN (2)",
            "SELECT 1 = 0",
            "SELECT count(*)",
            "SELECT max(at) FROM mine.rows",
            "SELECT pg_class.oid FROM pg_class",
        ):
            with pytest.raises(psycopg.Error, match=r"the path found|the_path_found|not an aggregate|does not exist"):
                execute(other, statement)


def test_csv_of_a_full_ingest_is_what_the_table_holds(run: Run, source: psycopg.Connection[Any], bucket: Path) -> None:
    tables = [
        entry("path-at", "at"),
        entry("path-at-date", "at", slice_by="date", slices=3),
        entry("path-zoned", "zoned"),
        entry("path-day", "day", slice_by="none"),
        Table("path-view", "mine.labelled", "at", "2024-01"),
        Table("path-view-date", "mine.labelled", "at", "2024-01", slice_by="date", slices=2),
    ]
    run("path-full", *tables)
    execute(source, "SET search_path = mine, pg_catalog")  # for the view's functions, as the job's readers have it
    for table in tables:
        assert differing(source, bucket, table) == [], table.name
    assert set(manifests(bucket, tables[0])) >= {"2023-05", "2024-02", "2024-03", "undated"}
    own = "SELECT count(*) FROM mine.labelled WHERE label = 'own label ' || id AND note ~ '^own '"
    assert source.execute(own).fetchone() == (400,)  # the view shows what the path decides
    types = {column.name: column.type for column in manifests(bucket, tables[0])["2024-02"].columns}
    assert types["day"] == "date"
    assert types["own_date"] == "mine.date"
    assert types["own"] == "mine.pair"


@pytest.mark.parametrize("slice_by", ["ctid", "date", "none", None])
def test_months_hold_what_the_table_holds_with_every_way_of_slicing(
    run: Run, source: psycopg.Connection[Any], bucket: Path, slice_by: str | None
) -> None:
    tables = [entry(f"path-{date}-{slice_by}", date, slice_by=slice_by, slices=2) for date in ("at", "zoned", "day")]
    run(f"path-months-{slice_by}", *tables, months=MONTHS)
    for table in tables:
        held = f"{table.date_column} AT TIME ZONE ':CET'" if table.date_column == "zoned" else table.date_column
        query = f"""SELECT count(*) FILTER (WHERE d >= '2024-02-01' AND d < '2024-03-01'),
            count(*) FILTER (WHERE d >= '2024-03-01' AND d < '2024-04-01'),
            count(*) FILTER (WHERE d IS NULL OR NOT isfinite(d)) FROM (SELECT {held} AS d FROM mine.rows) AS rows"""
        found = manifests(bucket, table)
        assert [(found["2024-02"].rows, found["2024-03"].rows, found["undated"].rows)] == (
            source.execute(query.encode()).fetchall()
        )
        missing = [row for row in differing(source, bucket, table) if row[0] == "only in the files"]
        assert missing == []


def test_parquet_with_values_that_spark_lacks_is_what_the_table_holds(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    for way, months in (("full", None), ("date", MONTHS)):
        table = entry(f"path-parquet-{way}", "at", format="parquet", slice_by="date" if months else None)
        run(f"path-parquet-{way}", table, months=months)
        files = ParquetTable(bucket, table)
        assert {"zoned_text", "day_text", "amount_text"} < set(files.types)
        if months is None:
            assert {name: files.changed(source, name) for name in COLUMNS} == {name: [] for name in COLUMNS}


def test_an_array_is_joined_by_postgresqls_own_function(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    table = entry("path-joined", "at", columns={"tags": {"join": "'; \\"}})
    run("path-joined", table)
    read_back(source, bucket, table)
    query = """SELECT count(*) FROM {} JOIN mine.rows ON rows.id::pg_catalog.text = back.id
        WHERE array_to_string(rows.tags, %s) = back.tags"""
    assert source.execute(psycopg.sql.SQL(query).format(BACK), ["'; \\"]).fetchone() == (400,)
