"""What `ingest_assets.read` makes of a month, against PostgreSQL's own answer: values, types, NULL apart from ''."""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pandas  # type: ignore[import-untyped]
import polars
import psycopg
import pytest
from psycopg import sql

from ingest_assets.aws.errors import AwsError
from ingest_assets.aws.raw_layer import RawLayerOfBucket
from ingest_assets.aws.stack import StackOutputs
from ingest_assets.read import ReadError, Rows, month, months
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from tests.integration import type_tables
from tests.integration.published import Run, manifest
from tests.integration.type_cases import SCALARS, WITHOUT_VALUES
from tests.integration.type_parquet import NATIVE
from tests.integration.whole import SourceConnection, settle

ARROW = {
    "boolean": "bool",
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "oid": "uint32",
    "real": "float",
    "double precision": "double",
    "numeric(9)": "decimal128(9, 0)",
    "numeric(12,2)": "decimal128(12, 2)",
    "numeric(18,4)": "decimal128(18, 4)",
    "numeric(38,0)": "decimal128(38, 0)",
    "numeric(38,18)": "decimal128(38, 18)",
    "numeric(38,38)": "decimal128(38, 38)",
    "bytea": "binary",
    "date": "date32[day]",
    **dict.fromkeys(("time", "time(0)", "time(3)"), "time64[us]"),
    **dict.fromkeys(("timestamp", "timestamp(0)", "timestamp(3)"), "timestamp[us]"),
    **dict.fromkeys((f"timestamp{n} with time zone" for n in ("", "(0)", "(3)")), "timestamp[us, tz=UTC]"),
}
"""The types of columns that are not text, by the type in PostgreSQL."""

DOMAINS = {
    "kinds.amount": "decimal128(20, 4)",
    "kinds.positive": "decimal128(20, 4)",
    "kinds.day": "date32[day]",
    "kinds.moment": "timestamp[us, tz=UTC]",
    "information_schema.cardinal_number": "int32",
    "information_schema.time_stamp": "timestamp[us, tz=UTC]",
}
"""The same for domains, whose base type the files of Parquet have; in CSV they are text."""

Column = dict[str, list[Any]]
READERS: dict[str, Callable[[Rows], Column]] = {
    "arrow": lambda rows: rows.arrow().to_pydict(),
    "pandas": lambda rows: {name: of_pandas(values) for name, values in rows.pandas().items()},
    "polars": lambda rows: rows.polars().to_dict(as_series=False),
    "duckdb": lambda rows: of_duckdb(rows.duckdb()),
}


def of_pandas(values: Any) -> list[Any]:
    return [None if value is pandas.NA else value for value in values]


def of_duckdb(relation: duckdb.DuckDBPyRelation) -> Column:
    rows = relation.fetchall()
    return {name: [row[index] for row in rows] for index, name in enumerate(relation.columns)}


@pytest.fixture
def source(source: SourceConnection) -> SourceConnection:
    settle(source)
    return source


@pytest.mark.parametrize("files", ["csv", "parquet"])
def test_every_reader_has_the_values_that_psycopg_has(run: Run, source: SourceConnection, files: str) -> None:
    cases = {**SCALARS, **{name: [] for name in WITHOUT_VALUES}}
    tables = [replace(table, format=files) for table in type_tables.create(source, cases)]
    run(f"read-{files}", *tables)
    native = {**ARROW, **(DOMAINS if files == "parquet" else {})}
    for table in tables:
        rows = months(table.name)
        schema = rows.arrow().schema
        found = {reader: read(rows) for reader, read in READERS.items()}
        for kind in type_tables.kinds(source, table):
            assert str(schema.field(kind.name).type) == native.get(kind.name, "string"), kind.name
            expected = expectation(source, table, kind.name, text=kind.name not in native)
            for reader, columns in found.items():
                assert of_column(columns, kind.name) == expected, f"{kind.name} by {reader}"
            beside = any(text is not None for _, text in expected.values())
            assert (f"{kind.name}_text" in schema.names) == beside, kind.name


def of_column(columns: Column, name: str) -> dict[int, tuple[Any, Any]]:
    """By id, the comparable value and the text beside it."""
    none: list[Any] = [None] * len(columns["id"])
    values = zip(columns["id"], columns[name], columns.get(f"{name}_text", none), strict=True)
    return {row: (comparable(value, name), text) for row, value, text in values}


def expectation(source: SourceConnection, table: Table, name: str, *, text: bool) -> dict[int, tuple[Any, Any]]:
    """The same by psycopg. A value that Python's type of the column does not have is NULL, with its text beside it."""
    column = sql.Identifier(name)
    query = sql.SQL("SELECT id, {0}::text, NULL FROM {1}").format(column, sql.SQL(table.table))
    texts = {row: value for row, value, _ in source.execute(query).fetchall()}
    if text:
        return {row: (value, None) for row, value in texts.items()}
    return {row: value_or_text(source, table, name, row, value) for row, value in texts.items()}


def value_or_text(source: SourceConnection, table: Table, name: str, row: int, text: str | None) -> tuple[Any, Any]:
    query = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.Identifier(name), sql.SQL(table.table))
    try:
        [[value]] = source.execute(query, [row]).fetchall()
    except psycopg.DataError:
        return None, text
    return (None, text) if isinstance(value, Decimal) and value.is_nan() else (comparable(value, name), None)


def comparable(value: Any, kind: str) -> Any:
    """A form in which equal values are equal and no others: NaN and -0, and a real's 32 bits."""
    if isinstance(value, float):
        return struct.pack(">f" if kind == "real" else ">d", value)
    return value.as_tuple() if isinstance(value, Decimal) else value


def test_the_types_of_the_files_and_of_the_readers_go_together() -> None:
    in_files = {name for name in NATIVE if name not in DOMAINS}
    assert {"oid", "time", "time(0)", "time(3)"} == ARROW.keys() - in_files
    assert in_files <= ARROW.keys()


NUMBERS = itertools.count()
COMPRESSED = [
    *(("csv", codec) for codec in (None, "gzip", "bzip2", "deflate")),
    *(("parquet", codec) for codec in (None, "gzip", "zstd")),
]


@pytest.fixture
def small(source: SourceConnection) -> Iterator[Table]:
    """Rows in January and February 2024, two without a month; NULL and '' as first, inner and last field."""
    source.execute("DROP SCHEMA IF EXISTS read CASCADE; CREATE SCHEMA read")
    source.execute('CREATE TABLE read.small ("a,b" text, id int, at timestamptz, last text)')
    source.execute(
        """INSERT INTO read.small VALUES (NULL, 1, '2024-01-31 23:00-05', ''), ('', NULL, '2024-01-15', NULL),
        (E'x\\r\\n"', 3, '2024-01-02', NULL), ('', 4, '2024-02-03', ''),
        (NULL, 5, NULL, NULL), ('', 6, 'infinity', '')"""
    )
    name = f"small_{next(NUMBERS)}"  # the bucket keeps the months of the tests before
    yield Table(name, "read.small", "at", "2024-01", timezone="America/New_York")
    source.execute("DROP SCHEMA read CASCADE")


def in_postgresql(source: SourceConnection, condition: str) -> list[tuple[Any, ...]]:
    found = source.execute(f"SELECT * FROM read.small WHERE {condition} ORDER BY id".encode()).fetchall()
    return [tuple(row) for row in found]


def by_id(rows: Rows) -> list[tuple[Any, ...]]:
    """Sorted as PostgreSQL sorts, NULL last."""
    found = [tuple(row.values()) for row in rows.arrow().to_pylist()]
    return sorted(found, key=lambda row: (row[1] is None, row[1]))


def test_a_month_reads_the_same_in_every_format_and_compression(
    run: Run, small: Table, source: SourceConnection
) -> None:
    tables = [
        replace(small, name=f"{small.name}_{files}_{codec}", format=files, compression=codec)
        for files, codec in COMPRESSED
    ]
    run("read-compressed", *tables)
    january = in_postgresql(source, "id < 4 OR id IS NULL")
    assert len(january) == 3
    for table in tables:
        assert by_id(month(table.name, "2024-01")) == january, table.name
        assert by_id(months(table.name)) == in_postgresql(source, "isfinite(at)"), table.name


def test_the_rows_without_a_month_are_read_as_undated(run: Run, small: Table, source: SourceConnection) -> None:
    run("read-undated", small)
    [never, always] = month(small.name, "undated").arrow().to_pylist()
    assert never == {"a,b": None, "id": 5, "at": None, "last": None, "at_text": None}
    assert always == {"a,b": "", "id": 6, "at": None, "last": "", "at_text": "infinity"}
    assert "at_text" not in months(small.name).arrow().column_names


def test_the_nulls_of_a_single_column_are_rows(run: Run, small: Table, source: SourceConnection) -> None:
    source.execute("CREATE TABLE read.single (at date); INSERT INTO read.single VALUES (NULL), (NULL), ('2024-01-05')")
    run("read-single", Table("single", "read.single", "at", "2024-01"))
    assert month("single", "undated").arrow().to_pylist() == [{"at": None}, {"at": None}]
    assert month("single", "2024-01").polars()["at"].dtype == polars.Date


def test_a_month_without_rows_has_the_columns(run: Run, small: Table) -> None:
    run("read-empty", small, months=[Month(2024, 4)])
    empty = month(small.name, "2024-04").arrow()
    assert len(empty) == 0
    assert {field.name: str(field.type) for field in empty.schema} == {
        "a,b": "string", "id": "int32", "at": "timestamp[us, tz=UTC]", "last": "string",
    }  # fmt: skip


def test_columns_that_only_some_months_have_are_null_in_the_others(
    run: Run, small: Table, source: SourceConnection
) -> None:
    run("read-before", small, months=[Month(2024, 1)])
    source.execute("ALTER TABLE read.small ALTER id TYPE bigint, ADD added int DEFAULT 7")
    run("read-after", small, months=[Month(2024, 2), Month(2024, 3)])
    both = months(small.name, "2024-01", "2024-03").arrow()
    assert both["added"].to_pylist() == [None, None, None, 7]
    assert str(both.schema.field("id").type) == "int64"
    source.execute("ALTER TABLE read.small ALTER id TYPE text")
    run("read-text", small, months=[Month(2024, 2)])
    with pytest.raises(
        ReadError, match=rf"^{small.name} 2024-01 to 2024-02: the types of a column differ: .* one by one$"
    ):
        months(small.name, "2024-01", "2024-02").arrow()


class Interrupted(RawLayerOfBucket):
    """The bucket, in which something happens before the first file is read."""

    def __init__(self, bucket: str, happens: Callable[[], None]) -> None:
        super().__init__(boto3.client("s3"), bucket)
        self._happens = [happens]

    def content(self, key: str) -> bytes | None:
        while self._happens:
            self._happens.pop()()
        return super().content(key)


def test_a_month_that_is_ingested_meanwhile_is_read_from_its_new_manifest(
    run: Run, small: Table, source: SourceConnection, outputs: StackOutputs
) -> None:
    run("read-first", small, months=[Month(2024, 1)])

    def again() -> None:
        source.execute("UPDATE read.small SET last = 'new' WHERE at < '2024-02-02'")
        run("read-second", small, months=[Month(2024, 1)])

    raw_layer = Interrupted(outputs.bucket_name, again)
    assert month(small.name, "2024-01", raw_layer=raw_layer).arrow()["last"].to_pylist() == ["new"] * 3


@pytest.mark.parametrize(
    ("damage", "told"),
    [(Path.unlink, "is missing"), (lambda file: file.write_bytes(b"at\n"), r"has 3 bytes instead of \d+")],
)
def test_a_file_that_is_not_the_listed_one_is_an_error(
    run: Run, small: Table, bucket: Path, damage: Callable[[Path], Any], told: str
) -> None:
    run("read-damaged", small, months=[Month(2024, 2)])
    [file] = manifest(bucket, small, Month(2024, 2)).files
    damage(bucket / file.key)
    with pytest.raises(ReadError, match=rf"^{small.name} 2024-02: s3://\S+ {told}: ingest the month again$"):
        month(small.name, "2024-02").arrow()


def test_what_cannot_be_read_is_told_in_one_line(run: Run, small: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    run("read-errors", small, months=[Month(2024, 1)])
    with pytest.raises(ReadError, match=r"^no table is named 'smal': use one of mockrecord, orders$"):
        month("smal", "2024-01").pandas()
    with pytest.raises(ReadError, match=rf"^{small.name}: 2023-12 has not been ingested. Ingested are 2024-01$"):
        month(small.name, "2023-12").polars()
    with pytest.raises(ReadError, match=rf"^{small.name}: 2024-02 has not been ingested"):
        months(small.name, "2024-01", "2024-02").duckdb()
    with pytest.raises(ReadError, match=r"^there is no month from 2024-02 to 2024-01: give the earlier one first$"):
        months(small.name, "2024-02", "2024-01").arrow()
    with pytest.raises(InvalidInputError, match=r"^'2024-1' is not a month: write year and month as in '2024-02'$"):
        month(small.name, "2024-1")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ReadError, match=r"^polars is not installed: pip install polars$"):
        month(small.name, "2024-01").polars()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(AwsError, match=r"^reading the stack's outputs: nothing answers at http://127.0.0.1:1"):
        month(small.name, "2024-01").arrow()
