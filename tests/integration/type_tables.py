"""Tables with a column for every type, and what became of each column in the raw layer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from spark_scripts.contract.tables import Table
from tests.integration.type_cases import FILLED, SETUP, UNREADABLE
from tests.integration.whole import BACK, SourceConnection, execute

Cases = Mapping[str, Sequence[str]]

HOSTILE = {
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "TimeZone": "America/New_York",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
}
"""Defaults of the reading role under which values have another text, and the job's SQL another meaning."""

_TEXT_TELLS = ("refcursor", "kinds.temper")
"""Types that pass for having a binary output and have none that can be called."""


@dataclass(frozen=True)
class Kind:
    """A column under test, named after its type.

    `send` is the type's binary output, which differs for any two values; None where it has none. `readable` says
    whether the type reads its own text.
    """

    name: str
    send: str | None
    readable: bool


def create(source: SourceConnection, cases: Cases) -> list[Table]:
    """`kinds.scalars` and `kinds.arrays`: a column for each type, and one for each array type, with every value.

    And `kinds.filled`, with the types that only PostgreSQL itself makes values of.
    """
    execute(source, "DROP SCHEMA IF EXISTS kinds CASCADE; CREATE SCHEMA kinds")
    execute(source, SETUP)
    _fill(source, "scalars", {kind: [_literal(value, kind) for value in values] for kind, values in cases.items()})
    _fill(source, "arrays", {f"{kind}[]": _arrays(kind, values) for kind, values in cases.items() if values})
    execute(source, FILLED)
    return [Table(name, f"kinds.{name}", "at", "2024-01") for name in ("scalars", "arrays", "filled")]


def _fill(source: SourceConnection, table: str, columns: Mapping[str, Sequence[str]]) -> None:
    declared = ", ".join(f"{quoted(kind)} {kind}" for kind in columns)
    execute(source, f"CREATE TABLE kinds.{table} (id int, at timestamp, {declared})")
    for index, row in enumerate(itertools.zip_longest(*columns.values(), fillvalue="NULL")):
        values = ", ".join(row)
        execute(source, f"INSERT INTO kinds.{table} VALUES ({index}, '2024-0{index % 2 + 1}-15', {values})")


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str, kind: str) -> str:
    return f"{sql.Literal(value).as_string()}::{kind}"


def _arrays(kind: str, values: Sequence[str]) -> list[str]:
    """Arrays of all the values, with and without NULL, of several dimensions, and with bounds of their own."""
    literals = [_literal(value, kind) for value in values]
    first, last = literals[0], literals[-1]
    pair = f"ARRAY[{first}, {last}]"
    square = f"ARRAY[ARRAY[{first}, NULL], ARRAY[{last}, {first}]]"
    return [
        f"ARRAY[{', '.join(literals)}]::{kind}[]",
        f"'{{}}'::{kind}[]",
        f"ARRAY[NULL, {first}, NULL]::{kind}[]",
        f"{square}::{kind}[]",
        f"('[0:1]=' || {pair}::{kind}[]::text)::{kind}[]",
        f"('[-1:-1][5:6][0:1]=' || ARRAY[{square}]::{kind}[]::text)::{kind}[]",
        f"ARRAY[NULL]::{kind}[]",
    ]


def kinds(source: SourceConnection, table: Table) -> list[Kind]:
    """The columns under test of a table that `create` made."""
    query = """
        SELECT attname, CASE WHEN attname = ANY (%s) OR pg_type.typsend = 0 OR element.typsend = 0 THEN NULL
            ELSE pg_type.typsend::text END, NOT pg_type.typname = ANY (%s)
        FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid LEFT JOIN pg_type AS element
            ON element.oid = pg_type.typelem
        WHERE attrelid = %s::regclass AND attnum > 2 ORDER BY attnum"""
    return [Kind(*row) for row in source.execute(query, [list(_TEXT_TELLS), list(UNREADABLE), table.table])]


def changed_texts(source: SourceConnection, table: Table, kind: Kind) -> list[tuple[Any, ...]]:
    """The rows (id, what PostgreSQL writes, what was read back) that differ in the column."""
    return _rows(source, table, kind, "back.{0} IS DISTINCT FROM source.{0}::text")


def changed_values(source: SourceConnection, table: Table, kind: Kind) -> list[tuple[Any, ...]]:
    """The same for rows whose text does not read back to the very value."""
    if not kind.readable:
        return []
    if kind.name == "bpchar":  # for PostgreSQL, blanks at its end are not part of the value
        return _rows(source, table, kind, "back.{0}::bpchar IS DISTINCT FROM source.{0}")
    send = f"{kind.send}(%s)" if kind.send else "%s::text"
    back, original = send % f"back.{{0}}::{kind.name}", send % "source.{0}"
    return _rows(source, table, kind, f"{back} IS DISTINCT FROM {original}")


def _rows(source: SourceConnection, table: Table, kind: Kind, condition: str) -> list[tuple[Any, ...]]:
    name = quoted(kind.name)
    query = (
        f"SELECT coalesce(source.id::text, back.id), source.{name}::text, back.{name} FROM {table.table} AS source"
        f" FULL JOIN {BACK.as_string()} AS back ON back.id = source.id::text"
        f" WHERE source.id IS NULL OR back.id IS NULL OR {condition.format(name)}"
    )
    return source.execute(query.encode()).fetchall()


@contextmanager
def hostile_defaults(source: SourceConnection) -> Iterator[None]:
    """Sessions of the reading role begin with other settings."""
    for name, value in HOSTILE.items():
        execute(source, f"ALTER ROLE CURRENT_USER SET {name} = '{value}'")
    try:
        yield
    finally:
        execute(source, "ALTER ROLE CURRENT_USER RESET ALL")
