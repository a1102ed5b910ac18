"""The type matrix: which types were tried, and the differences of the types that did not arrive whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spark_scripts.contract.tables import Table
from tests.integration.type_parquet import ParquetTable
from tests.integration.type_tables import changed_texts, changed_values, kinds
from tests.integration.whole import SourceConnection, read_back


@dataclass
class Matrix:
    """The types that were tried, and by type the rows that differ (id, expected, found).

    `native` are the types of the columns that are not text in the files, `empty` the reasons why a column of the type
    holds NULL only.
    """

    empty: Mapping[str, str]
    tried: list[str] = field(default_factory=list)
    broken: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    native: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, changed: list[tuple[Any, ...]]) -> None:
        """Note the outcome for a type."""
        self.tried.append(kind)
        if changed:
            self.broken[kind] = changed

    def summarise(self, what: str) -> None:
        """Print one line (seen with pytest -s)."""
        filled = [name for name in self.tried if name not in self.empty]
        empty = "; ".join(f"{name} ({reason})" for name, reason in self.empty.items())
        print(
            f"\n{what}: {len(filled)} types tried, {len(filled) - len(self.broken)} whole, {len(self.native)} native;"
            f" tried with NULL only: {empty or 'none'}"
        )


def csv_matrix(source: SourceConnection, bucket: Path, tables: Sequence[Table], empty: Mapping[str, str]) -> Matrix:
    """Compare the published CSV of tables that `type_tables.create` made, text by text and value by value."""
    matrix = Matrix(empty)
    for table in tables:
        read_back(source, bucket, table)
        for kind in kinds(source, table):
            matrix.add(kind.name, changed_texts(source, table, kind) + changed_values(source, table, kind))
    return matrix


def parquet_matrix(source: SourceConnection, bucket: Path, tables: Sequence[Table], empty: Mapping[str, str]) -> Matrix:
    """The same for published Parquet."""
    matrix = Matrix(empty)
    for table in tables:
        files = ParquetTable(bucket, table)
        for kind in kinds(source, table):
            matrix.add(kind.name, files.changed(source, kind.name))
            if files.types[kind.name] != "VARCHAR":
                matrix.native[kind.name] = files.types[kind.name]
    return matrix
