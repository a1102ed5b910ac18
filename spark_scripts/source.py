"""The source as of one snapshot: its catalog and its counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

from spark_scripts import sql
from spark_scripts.connection import Connection, SourceError
from spark_scripts.errors import InvalidInputError
from spark_scripts.identifiers import parse_table, quote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.database import Database

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


class Source:
    """One transaction with one snapshot, which Spark's readers join.

    It holds back the server's xmin until it ends. `snapshot` is None where the server exports none.
    """

    def __init__(self, connection: Connection, database: Database, execution: str) -> None:
        self.connection = connection
        self.database = database
        self.execution = execution
        self.snapshot: Optional[str] = None

    @classmethod
    @contextmanager
    def connect(cls, spark: SparkSession, database: Database, execution: str) -> Iterator[Source]:
        """Connect, take the snapshot, and close at the end. Raises SourceError naming the server and what to do."""
        with Connection.open(spark, database, execution) as connection:
            source = cls(connection, database, execution)
            source._begin()
            yield source

    def _begin(self) -> None:
        for name, value in sql.SETTINGS.items():
            self.connection.execute(f"SET {name} = '{value}'")
        self.connection.repeatable_read()
        try:
            self.snapshot = self.connection.rows("SELECT pg_export_snapshot() AS id")[0]["id"]
        except SourceError as error:  # some standbys and poolers
            self.connection.rollback()
            print(f"no common snapshot for the parallel readers: {error}", flush=True)

    def columns(self, table: str) -> list[sql.SourceColumn]:
        """The columns of `table` (as in tables.yaml). Raises InvalidInputError when there is no such table."""
        columns = self.connection.rows(_COLUMNS, relation(table))
        if not columns:
            raise InvalidInputError(
                f"{self.database} has no table {table}, or hides it from this user: mend tables.yaml or GRANT USAGE"
                " on its schema"
            )
        return [sql.SourceColumn(**column) for column in columns]


def relation(table: str) -> str:
    """`table` (as in tables.yaml) with both parts quoted."""
    schema, name = parse_table(table)
    return f"{quote(schema)}.{quote(name)}"


def date_column(columns: list[sql.SourceColumn], name: str, table: str, timezone: str) -> sql.DateColumn:
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
