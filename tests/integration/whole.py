"""Whether the raw layer holds a whole table: PostgreSQL reads all its months back and compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.tables import Table
from spark_scripts.postgres.session import FORMATS

SourceConnection = psycopg.Connection[Any]

BACK = sql.Identifier("pg_temp", "back")
"""Where `read_back` puts the rows."""


def execute(source: SourceConnection, statements: str) -> None:
    """Run statements that a test has put together."""
    source.execute(statements.encode())


def settle(source: SourceConnection) -> None:
    """Give the connection the settings under which the job reads, so that `::text` is what it should have written."""
    for name, value in FORMATS.items():
        execute(source, f"SET {name} = '{value}'")


def manifests(bucket: Path, table: Table) -> dict[str, Manifest]:
    """The current manifests of the table, by partition key."""
    folder = bucket / layout.current_manifests_prefix(table.name)
    return {file.stem: Manifest.from_json(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")}


def read_back(source: SourceConnection, bucket: Path, table: Table) -> None:
    """Every month's files, by COPY into a temporary table of text columns. A header that differs is an error."""
    found = list(manifests(bucket, table).values())
    names = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column.name)) for column in found[0].columns)
    source.execute(sql.SQL("DROP TABLE IF EXISTS {0}; CREATE TEMPORARY TABLE {0} ({1})").format(BACK, names))
    copy = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER MATCH)").format(BACK)
    for file in (file for month in found for file in month.files):
        with source.cursor().copy(copy) as rows, (bucket / file.key).open("rb") as lines:
            while block := lines.read(1 << 20):
                rows.write(block)


def differing(source: SourceConnection, bucket: Path, table: Table) -> list[tuple[Any, ...]]:
    """The rows that only the table or only its raw layer has, as text, NULL and '' apart, first 5; the table may
    have no key.
    """
    read_back(source, bucket, table)
    [found, *_] = manifests(bucket, table).values()
    names = [sql.Identifier(column.name) for column in found.columns]
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in names)
    relation = sql.SQL(table.table)
    query = sql.SQL(
        """(SELECT 'only in the table', {texts} FROM {relation} EXCEPT ALL SELECT 'only in the table', * FROM {back})
        UNION ALL
        (SELECT 'only in the files', * FROM {back} EXCEPT ALL SELECT 'only in the files', {texts} FROM {relation})
        LIMIT 5"""
    )
    return source.execute(query.format(texts=texts, relation=relation, back=BACK)).fetchall()
