"""The columns of a table as its manifests list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_scripts.contract.manifest import Column
from spark_scripts.contract.privacy import described

if TYPE_CHECKING:
    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.projections import SourceColumn
    from spark_scripts.postgres.source import Relation


def manifest_columns(table: Table, relation: Relation) -> tuple[Column, ...]:
    """The columns that leave the database, with what is done to their values."""
    return tuple(_column(table, relation, column) for column in relation.columns)


def _column(table: Table, relation: Relation, column: SourceColumn) -> Column:
    treatment = described(table.columns.get(column.name, {}), relation.pepper)
    if treatment is None:
        return Column(column.name, column.type, column.comment)
    return Column(column.name, "text", column.comment, treatment, column.type)
