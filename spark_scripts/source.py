"""The source as of one snapshot: its catalog and its counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from spark_scripts import sql
from spark_scripts.connection import Connection, SourceError
from spark_scripts.errors import InvalidInputError
from spark_scripts.identifiers import parse_table, quote
from spark_scripts.projections import SourceColumn
from spark_scripts.zones import resolved

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.database import Database
    from spark_scripts.tables import Table

_COLUMNS = """
WITH RECURSIVE declared AS (
    SELECT attnum, attname, atttypid, atttypmod, attrelid FROM pg_attribute
    WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped
), resolved AS (
    SELECT attnum, atttypid AS typid, atttypmod AS typmod FROM declared
    UNION ALL
    SELECT attnum, typbasetype, typtypmod FROM resolved JOIN pg_type ON pg_type.oid = typid WHERE typtype = 'd'
)
SELECT attname AS name, format_type(atttypid, atttypmod) AS type, format_type(typid, typmod) AS base_type,
       col_description(attrelid, attnum) AS comment
FROM declared JOIN resolved USING (attnum) JOIN pg_type ON pg_type.oid = typid
WHERE typtype <> 'd' ORDER BY attnum
"""

# The table with its partitions and children. ctid ranges need heap tables, and PostgreSQL 14 to be served by blocks.
_HEAP = """
WITH RECURSIVE tree AS (
    SELECT to_regclass(?)::oid AS relation
    UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relation
)
SELECT bool_and(relkind IN ('r', 'p', 'm') AND coalesce(amname, 'heap') = 'heap')
           AND current_setting('server_version_num')::int >= 140000 AS by_ctid,
       coalesce(max(pg_relation_size(relation)), 0) / current_setting('block_size')::int AS blocks
FROM tree JOIN pg_class ON pg_class.oid = relation LEFT JOIN pg_am ON pg_am.oid = relam
"""

_PATH = "SELECT pg_catalog.current_setting('search_path') AS own, (pg_catalog.current_schemas(true))[1] AS first"


@dataclass(frozen=True)
class Relation:
    """A relation of the source as the catalog knows it; `name` is quoted.

    Where `by_ctid`, ranges of ctids read its rows: they are in `blocks` blocks (those of the largest partition).
    """

    name: str
    columns: Sequence[SourceColumn]
    date: sql.DateColumn
    by_ctid: bool
    blocks: int


class Source:
    """One transaction with one snapshot, which Spark's readers join.

    It holds back the server's xmin until it ends. `snapshot` is None where the server exports none. `search_path` is
    the role's own where a schema stands before pg_catalog in it, else None.
    """

    def __init__(self, connection: Connection, database: Database, execution: str) -> None:
        self.connection = connection
        self.database = database
        self.execution = execution
        self.snapshot: Optional[str] = None
        self.search_path: Optional[str] = None

    @classmethod
    @contextmanager
    def connect(cls, spark: SparkSession, database: Database, execution: str) -> Iterator[Source]:
        """Connect, take the snapshot, and close at the end. Raises SourceError naming the server and what to do."""
        with Connection.open(spark, database, execution) as connection:
            source = cls(connection, database, execution)
            source._begin()
            yield source

    def _begin(self) -> None:
        [path] = self.connection.rows(_PATH)
        self.search_path = path["own"] if path["first"] != "pg_catalog" else None
        for name, value in sql.SETTINGS.items():
            self.connection.execute(f"SET {name} = '{value}'")
        self.connection.repeatable_read()
        try:
            self.snapshot = self.connection.rows("SELECT pg_catalog.pg_export_snapshot() AS id")[0]["id"]
        except SourceError as error:  # some standbys and poolers
            self.connection.rollback()
            print(f"no common snapshot for the parallel readers: {error}", flush=True)

    def relation(self, table: Table) -> Relation:
        """What the catalog says of the relation that `table` names.

        Raises InvalidInputError when there is none such, or the entry does not fit it.
        """
        with self.connection.catalog_path():
            return self._relation(table)

    def _relation(self, table: Table) -> Relation:
        name = ".".join(quote(part) for part in parse_table(table.table))
        columns = [SourceColumn(**column) for column in self.connection.rows(_COLUMNS, name)]
        if not columns:
            raise InvalidInputError(
                f"{self.database} has no table {table.table}, or hides it from this user: mend tables.yaml or GRANT"
                " USAGE on its schema"
            )
        date = date_column(columns, table.date_column, table.table, table.timezone)
        date = resolved(self.connection, date, table.name)
        unknown = sorted(set(table.columns) - {column.name for column in columns})
        if unknown:
            raise InvalidInputError(f"table {table.name}: no column {', '.join(unknown)} to clean: mend tables.yaml")
        [heap] = self.connection.rows(_HEAP, name)
        # A row that is updated moves to another block: without a snapshot it would be read twice, or not at all.
        by_ctid = heap["by_ctid"] and self.snapshot is not None
        return Relation(name, columns, date, by_ctid, heap["blocks"])


def date_column(columns: list[SourceColumn], name: str, table: str, timezone: str) -> sql.DateColumn:
    """The column that decides the months. Raises InvalidInputError when it is missing or holds no dates."""
    types = {column.name: column.base_type for column in columns}
    if name not in types:
        raise InvalidInputError(f"table {table} has no column {name}: date_column must be one of {', '.join(types)}")
    base_type = _without_precision(types[name])
    if base_type not in sql.DATE_TYPES:
        raise InvalidInputError(
            f"column {name} of {table} is {types[name]}: date_column must be a date, timestamp or timestamptz"
        )
    return sql.DateColumn(name, base_type, timezone)


def _without_precision(base_type: str) -> str:
    return f"timestamp{base_type[base_type.index(')') + 1 :]}" if base_type.startswith("timestamp(") else base_type
