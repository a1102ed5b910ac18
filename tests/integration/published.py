"""What tests of the job's own work share: reading back what it has published."""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import Partition
from spark_scripts.contract.tables import Table

Run = Callable[..., None]
"""`run(execution, *tables, months=None, catalog=None, refresh=False, dry_run=False)`: the fixture of conftest.py."""


def manifest(bucket: Path, table: Table, partition: Partition) -> Manifest:
    key = layout.current_manifest_key(table.name, partition)
    return Manifest.from_json((bucket / key).read_text(encoding="utf-8"))


def objects(bucket: Path, table: Table, partition: Partition) -> dict[str, int]:
    """Every file in the partition's folder, with the time of its last change."""
    folder = bucket / layout.partition_prefix(table.name, partition)
    return {str(file.relative_to(bucket)): file.stat().st_mtime_ns for file in folder.glob("*")}


def read_csv(bucket: Path, found: Manifest) -> list[list[str]]:
    rows: list[list[str]] = []
    for file in found.files:
        with (bucket / file.key).open(newline="", encoding="utf-8") as lines:
            header, *body = csv.reader(lines)
            assert header == [column.name for column in found.columns]
            rows += body
    return rows


def read_csv_of_any_length(bucket: Path, found: Manifest) -> list[list[str]]:
    """The same, with fields of any length, of files that may be compressed."""
    csv.field_size_limit(sys.maxsize)
    rows: list[list[str]] = []
    for file in found.files:
        opened = gzip.open if file.key.endswith(".gz") else open
        with opened(bucket / file.key, "rt", newline="", encoding="utf-8") as lines:
            rows += list(csv.reader(lines))[1:]
    return rows


def copied_back(source: psycopg.Connection[Any], bucket: Path, found: Manifest, like: LiteralString) -> None:
    """The month's files, read by PostgreSQL's COPY into the table `back` of text columns."""
    names = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column.name)) for column in found.columns)
    source.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.SQL(like), names))
    for file in found.files:
        with source.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER)").format(sql.SQL(like))) as copy:
            copy.write((bucket / file.key).read_bytes())
