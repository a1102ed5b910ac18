"""Months that the driver reads and writes itself are those that Spark would have written, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from ingest_assets.aws.content import differences
from ingest_assets.aws.raw_layer import RawLayer
from spark_scripts.contract import layout
from spark_scripts.contract.content import Content
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from spark_scripts.lake import small_months
from spark_scripts.postgres import projections, small_tables
from tests.integration.published import Run, manifest, objects
from tests.integration.records import NAUGHTY
from tests.integration.whole import differing, execute, manifests, settle

JANUARY, FEBRUARY, MARCH = Month(2024, 1), Month(2024, 2), Month(2024, 3)
Source = psycopg.Connection[Any]


@pytest.fixture
def source(source: Source) -> Iterator[Source]:
    settle(source)
    execute(source, "DROP SCHEMA IF EXISTS small CASCADE; CREATE SCHEMA small")
    yield source
    execute(source, "DROP SCHEMA small CASCADE")


@pytest.fixture
def notes(source: Source) -> Table:
    """Every naughty text in three months and without one, in columns whose names need quotes too."""
    execute(
        source,
        'CREATE TABLE small.notes (id serial, at timestamptz, "day" int, line text, "a ""b"", c" text, card text)',
    )
    rows = [
        (at, number, note, note if number % 3 else None, f"4111 {number:04}")
        for at in ("2024-01-31 23:59:59.999999+00", "2024-02-01 00:00+00", "2024-03-01 00:00+00", None, "infinity")
        for number, note in enumerate(NAUGHTY)
    ]
    with source.cursor() as cursor:
        statement = 'INSERT INTO small.notes (at, "day", line, "a ""b"", c", card) VALUES (%s, %s, %s, %s, %s)'
        cursor.executemany(statement, rows)
    return Table("notes", "small.notes", "at", "2024-01")


def lines(bucket: Path, table: Table) -> dict[str, list[bytes]]:
    """The lines of each month's files, sorted: the header and the rows."""
    found = {key: [bucket / file.key for file in each.files] for key, each in manifests(bucket, table).items()}
    return {key: sorted(b"".join(map(Path.read_bytes, files)).split(b"\n")) for key, files in found.items()}


def by_spark(bucket: Path, table: Table) -> bool:
    """Whether Spark wrote the files of the table, whose names tell it."""
    parts = {"-part-0" in file.key for each in manifests(bucket, table).values() for file in each.files}
    [only] = parts
    return only


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"columns": {"card": {"mask": {"last": 4}}, "line": {"drop": True}}},
        {"only": ["at", "line"]},
        {"timezone": "Asia/Kolkata"},
    ],
    ids=["whole", "masked and dropped", "only two columns", "another zone"],
)
def test_the_driver_writes_what_spark_writes(
    run: Run,
    source: Source,
    notes: Table,
    bucket: Path,
    raw_layer: RawLayer,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    table = replace(notes, **changes)
    run("driver", table)
    found = manifests(bucket, table)
    assert not by_spark(bucket, table)
    assert {key: each.rows for key, each in found.items()}["undated"] == 2 * len(NAUGHTY)
    assert [difference for each in found.values() for difference in differences(raw_layer, each)] == []
    assert changes or differing(source, bucket, table) == []
    driver = lines(bucket, table)
    monkeypatch.setattr(small_tables, "MAX_ROWS", 0)
    run("spark", table)
    assert by_spark(bucket, table)
    assert lines(bucket, table) == driver
    assert {key: each.content for key, each in manifests(bucket, table).items()} == {
        key: each.content for key, each in found.items()
    }


def test_it_ingests_single_months_and_leaves_nothing_in_staging(
    run: Run, source: Source, notes: Table, bucket: Path
) -> None:
    run("all", notes)
    before = objects(bucket, notes, MARCH)
    source.execute("DELETE FROM small.notes WHERE at = '2024-02-01 00:00+00'")
    source.execute("UPDATE small.notes SET line = 'new' WHERE at < '2024-02-01 00:00+00'")
    run("months", notes, months=[JANUARY, FEBRUARY])
    assert objects(bucket, notes, MARCH) == before
    assert objects(bucket, notes, FEBRUARY) == {}
    assert manifest(bucket, notes, FEBRUARY).content == str(Content("csv"))
    [file] = manifest(bucket, notes, JANUARY).files
    assert [*objects(bucket, notes, JANUARY)] == [file.key]
    assert not (bucket / layout.STAGING / "months").exists()
    source.execute("UPDATE small.notes SET at = at + interval '1 month' WHERE at > '2024-03-01' AND isfinite(at)")
    run("refresh", notes, refresh=True)
    assert differing(source, bucket, notes) == []


@pytest.mark.parametrize(
    ("module", "limit", "of"), [(small_tables, "MAX_ROWS", "rows"), (small_months, "MAX_BYTES", "bytes")]
)
def test_a_row_or_a_byte_more_than_the_limit_is_for_spark(
    run: Run,
    source: Source,
    notes: Table,
    bucket: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    limit: str,
    of: str,
) -> None:
    run("first", notes)
    header = len('id,at,day,line,"a ""b"", c",card\n')
    whole = [
        len((bucket / file.key).read_bytes()) - header
        for each in manifests(bucket, notes).values()
        for file in each.files
    ]
    rows = sum(each.rows for each in manifests(bucket, notes).values())
    at_limit = rows if of == "rows" else sum(whole) - rows  # the line feeds are not of the lines
    for difference in (0, -1):
        monkeypatch.setattr(module, limit, at_limit + difference)
        run(f"{of}{difference}", notes)
        assert by_spark(bucket, notes) == (difference < 0)
        assert differing(source, bucket, notes) == []


def test_large_rows_behind_a_small_number_are_for_spark(run: Run, source: Source, bucket: Path) -> None:
    execute(
        source,
        "CREATE TABLE small.large AS SELECT '2024-01-01'::date AS at, repeat('x', 700000 * n) AS note"
        " FROM generate_series(1, 3) n",
    )
    table = Table("large", "small.large", "at", "2024-01")
    run("large", table)
    assert by_spark(bucket, table)
    assert manifest(bucket, table, JANUARY).bytes > small_months.MAX_BYTES
    execute(source, "DELETE FROM small.large WHERE length(note) > 700000")
    run("smaller", table)
    assert not by_spark(bucket, table)
    assert differing(source, bucket, table) == []


def test_a_query_that_fails_names_the_months_and_publishes_nothing(
    run: Run, notes: Table, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = replace(notes, name="failing")
    monkeypatch.setattr(projections, "csv_line", lambda *_: "(1 / 0)::text")
    with pytest.raises(IngestionError, match=r"1 of 1 table failed: failing undated to 2024-03: .*division by zero"):
        run("failing", failing)
    assert manifests(bucket, failing) == {}
    assert objects(bucket, failing, JANUARY) == {}


def test_few_rows_of_a_large_table_and_the_rows_of_a_view_are_for_spark(
    run: Run, source: Source, notes: Table, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(source, "CREATE VIEW small.seen AS TABLE small.notes")
    seen = replace(notes, name="seen", table="small.seen")
    run("view", seen)
    assert by_spark(bucket, seen)
    run("small", notes)
    size = manifest(bucket, notes, JANUARY).table_bytes
    assert size is not None
    for difference in (0, -1):
        monkeypatch.setattr(small_tables, "MAX_TABLE_BYTES", size + difference)
        run(f"size{difference}", notes)
        assert by_spark(bucket, notes) == (difference < 0)


def test_lines_of_more_or_fewer_rows_than_were_counted_are_not_published(
    run: Run, notes: Table, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Any = small_months.read
    before = manifests(bucket, notes)
    monkeypatch.setattr(small_months, "read", lambda *given: read(*given[:3], "at < '2024-02-01'"))
    with pytest.raises(IngestionError, match=r"notes undated: 0 rows arrived, the source counted \d+ in the same"):
        run("fewer", notes)
    assert manifests(bucket, notes) == before
