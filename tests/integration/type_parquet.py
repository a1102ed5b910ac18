"""What DuckDB reads from the Parquet files of a table of `type_tables`, column by column, against PostgreSQL."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from spark_scripts.contract.tables import Table
from tests.integration.type_tables import quoted
from tests.integration.whole import SourceConnection, manifests

NATIVE = {
    "boolean": "BOOLEAN",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "numeric(9)": "DECIMAL(9,0)",
    "numeric(12,2)": "DECIMAL(12,2)",
    "numeric(18,4)": "DECIMAL(18,4)",
    "numeric(38,0)": "DECIMAL(38,0)",
    "numeric(38,18)": "DECIMAL(38,18)",
    "numeric(38,38)": "DECIMAL(38,38)",
    "bytea": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamp(0)": "TIMESTAMP",
    "timestamp(3)": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "timestamp(0) with time zone": "TIMESTAMP WITH TIME ZONE",
    "timestamp(3) with time zone": "TIMESTAMP WITH TIME ZONE",
    "kinds.amount": "DECIMAL(20,4)",
    "kinds.positive": "DECIMAL(20,4)",
    "kinds.day": "DATE",
    "kinds.moment": "TIMESTAMP WITH TIME ZONE",
    "information_schema.cardinal_number": "INTEGER",
    "information_schema.time_stamp": "TIMESTAMP WITH TIME ZONE",
}
"""The types that Spark has without loss; every other is text."""

BEYOND_SPARK = re.compile(r"-?infinity|NaN|29427\d-.*|29424[7-9]-.*")
"""Values that a native type lacks: a further text column has them. Microseconds in 64 bits end in 294247."""

# As whole numbers and hexadecimal digits, because neither side's own text can then hide a difference. In this order:
# what DuckDB reads, what PostgreSQL holds.
_FORMS = {
    "DECIMAL": ("{}", "{}::text"),
    "BLOB": ("lower(hex({}))", "encode({}, 'hex')"),
    "DATE": (
        "datediff('day', DATE '1970-01-01', {})::VARCHAR",
        "CASE WHEN isfinite({0}) THEN ({0} - DATE '1970-01-01')::text END",
    ),
    "TIMESTAMP": (
        "epoch_us({})::VARCHAR",
        "CASE WHEN isfinite({0}) THEN round(extract(epoch FROM {0}) * 1000000)::text END",
    ),
    "FLOAT": ("{}", "encode(float4send({}), 'hex')"),
    "DOUBLE": ("{}", "encode(float8send({}), 'hex')"),
}
_AS_TEXT = ("{}::VARCHAR", "{}::text")
_PYTHON_FORMS: dict[str, Callable[[Any], str]] = {
    "DECIMAL": "{:f}".format,
    "FLOAT": lambda value: struct.pack(">f", value).hex(),
    "DOUBLE": lambda value: struct.pack(">d", value).hex(),
}


class ParquetTable:
    """The files of all months of a table."""

    def __init__(self, bucket: Path, table: Table) -> None:
        files = [str(bucket / file.key) for found in manifests(bucket, table).values() for file in found.files]
        self._table = table
        self._duckdb = duckdb.connect()
        # A column `…_text` is in the files of the months that need it.
        self._duckdb.read_parquet(files, union_by_name=True).create_view("files")
        rows = self._duckdb.execute("SELECT column_name, column_type FROM (DESCRIBE files)").fetchall()
        self.types: dict[str, str] = dict(rows)

    def changed(self, source: SourceConnection, name: str) -> list[tuple[Any, ...]]:
        """The rows (id, as text, native form, what the file has, what the column beside has) that differ."""
        kind = re.sub(r"\(.*| WITH TIME ZONE", "", self.types[name])
        duckdb_form, postgres_form = _FORMS.get(kind, _AS_TEXT)
        column = quoted(name)
        beside = quoted(f"{name}_text") if f"{name}_text" in self.types else "NULL"
        query = f"SELECT id, {duckdb_form.format(column)}, {beside} FROM files"
        found = {row: (_formed(kind, value), told) for row, value, told in self._duckdb.execute(query).fetchall()}
        query = f"SELECT id, {column}::text, {postgres_form.format(column)} FROM {self._table.table}"
        expected = source.execute(query.encode()).fetchall()
        assert len(found) == len(expected)
        return [(*row, *found[row[0]]) for row in expected if not _is_whole((row[1], row[2]), found[row[0]])]


def _formed(kind: str, value: Any) -> str | None:
    form = _PYTHON_FORMS.get(kind)
    return value if value is None or form is None else form(value)


def _is_whole(expected: tuple[str | None, str | None], found: tuple[str | None, str | None]) -> bool:
    (text, native), (value, told) = expected, found
    if told is None:
        return value == native and (value is None) == (text is None)
    return value is None and told == text and BEYOND_SPARK.fullmatch(told) is not None
