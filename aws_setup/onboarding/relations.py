"""The relations that can be proposed, with their columns and what ANALYZE found about these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from aws_setup.errors import UsageError
from aws_setup.onboarding import queries
from aws_setup.onboarding.session import Session
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import parse_table, quote
from spark_scripts.postgres.projections import SourceColumn
from spark_scripts.postgres.source import date_column

KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialised view", "f": "foreign table"}
STORED = ("r", "p", "m")
"""The kinds whose rows are stored in this database."""


@dataclass(frozen=True)
class Found:
    """A relation in the catalog. `quoted` and `quoted_schema` are the names as SQL writes them.

    `kind` is a key of KINDS. `usable` and `readable` are the user's rights to schema and relation. `hides_rows` says
    that row level security applies to the user. `children` counts the partitions or the tables that inherit from it,
    `parent` is what it is a partition of.
    """

    oid: str
    schema: str
    name: str
    quoted_schema: str
    quoted: str
    kind: str
    usable: bool
    readable: bool
    hides_rows: bool
    children: int
    partition_key: str | None
    parent: str | None

    @property
    def sql_name(self) -> str:
        """The name in quotes, as the job writes it."""
        return f"{quote(self.schema)}.{quote(self.name)}"


@dataclass(frozen=True)
class Statistics:
    """What pg_stats has of a column. `nulls` is a share; `values` are common values and bounds, as text."""

    nulls: float
    correlation: float | None
    values: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A column. `filled` says that it is NOT NULL, `indexed` that an index begins with it.

    `textual` says that it holds texts. `statistics` is None where it was not analysed, and for other types.
    """

    source: SourceColumn
    filled: bool
    textual: bool
    indexed: bool
    statistics: Statistics | None = None

    @property
    def name(self) -> str:
        """The name in the database."""
        return self.source.name

    @property
    def date_type(self) -> str | None:
        """The type without its precision where the job can take months from it, else None."""
        try:
            return date_column([self.source], self.name, "", "UTC").base_type
        except InvalidInputError:
            return None


def find_relations(session: Session, schema: str | None, tables: Sequence[str]) -> list[Found]:
    """The relations of `schema` (of all, when None) or those that `tables` name as in SQL, in the order of their names.

    Partitions, and tables that inherit from another, are rows of their parents, so only the parents are found. Raises
    UsageError when there is no such schema or table.
    """
    found = [Found(**row) for row in session.rows(queries.RELATIONS)]
    if schema is not None:
        schemas = [row["name"] for row in session.rows(queries.SCHEMAS)]
        if schema not in schemas:
            raise UsageError(f"{session.database} has no schema {schema!r}: it has {', '.join(schemas)}")
        found = [one for one in found if one.schema == schema]
    if tables:
        return _named(session, found, tables)
    roots = [one for one in found if one.parent is None]
    if not roots:
        where = session.database if schema is None else f"the schema {schema} of {session.database}"
        raise UsageError(f"{where} has no tables or views")
    return roots


def _named(session: Session, found: Iterable[Found], tables: Sequence[str]) -> list[Found]:
    by_name = {(one.schema, one.name): one for one in found}
    named = []
    for text in tables:
        one = by_name.get(parse_table(text))
        if one is None:
            meant = {other.quoted.lower(): other.quoted for other in by_name.values()}
            close = get_close_matches(text.lower(), meant, n=1, cutoff=0.8)
            hint = f"did you mean {meant[close[0]]}?" if close else "write schema.table as in SQL"
            raise UsageError(f"{session.database} has no table {text}: {hint}")
        if one.parent is not None:
            raise UsageError(f"{text} is a part of {one.parent}: give that table")
        named.append(one)
    return named


def read_columns(session: Session, relation: Found) -> list[Column]:
    """The columns of a relation, with statistics for dates and texts. Raises RefusedError."""
    rows = session.rows(queries.COLUMNS, relation.oid)
    columns = [
        Column(
            SourceColumn(row["name"], row["type"], row["base_type"], row["comment"]),
            row["filled"],
            row["textual"],
            row["indexed"],
        )
        for row in rows
    ]
    names = [column.name for column in columns if column.textual or column.date_type]
    statistics = _statistics(session, relation, names)
    return [Column(one.source, one.filled, one.textual, one.indexed, statistics.get(one.name)) for one in columns]


def _statistics(session: Session, relation: Found, names: list[str]) -> dict[str, Statistics]:
    """The statistics of the whole relation, or those of its parts together: autovacuum does not analyse a parent."""
    rows = session.rows(queries.STATISTICS, relation.oid, relation.oid, names)
    found = {}
    for name in names:
        own = [row for row in rows if row["name"] == name]
        parts = [row for row in own if row["own"] and row["inherited"]] or [row for row in own if not row["inherited"]]
        if parts:
            weights = [row["tuples"] or 1.0 for row in parts]
            nulls = sum(row["nulls"] * weight for row, weight in zip(parts, weights, strict=True)) / sum(weights)
            correlation = parts[0]["correlation"] if len(parts) == 1 else None
            found[name] = Statistics(nulls, correlation, tuple(value for row in parts for value in row["values"]))
    return found
