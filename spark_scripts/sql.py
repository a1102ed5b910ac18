"""The SQL that the job sends to PostgreSQL, built by plain functions.

PostgreSQL itself formats the values: as text, under fixed session settings, they arrive without loss, whatever their
type. Identifiers are quoted here; month bounds are the only literals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, time
from typing import Any, Optional

from spark_scripts.errors import InvalidInputError
from spark_scripts.identifiers import quote
from spark_scripts.months import Month

SETTINGS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",  # shortest text that reads back to the same float (before PostgreSQL 12: 17 digits)
    "bytea_output": "hex",
}
"""The session settings that a value's text depends on."""

DATE_TYPES = ("date", "timestamp without time zone", "timestamp with time zone")

SLICED = "sliced"
"""The date column's name in the subquery that Spark reads."""

_NUMBER_AND_BOOLEAN = ("smallint", "integer", "bigint", "real", "double precision", "boolean", "bytea")
_MAX_DECIMAL = 38  # DecimalType.MAX_PRECISION of Spark

# Days and microseconds since 1970: java.sql's calendar and the JVM's time zone never touch them.
_MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
_EXPRESSIONS = {
    "date": "{} - DATE '1970-01-01'",
    "timestamp": _MICROSECONDS,
    "timestamptz": _MICROSECONDS,
    "text": "{}::text",
}
_SPARK_EXPRESSIONS = {
    "date": "date_from_unix_date({})",
    "timestamp": "CAST(timestamp_micros({}) AS TIMESTAMP_NTZ)",
    "timestamptz": "timestamp_micros({})",
}
_BEYOND = "NOT isfinite({0}) OR {0} >= '294247-01-01'"  # microseconds since 1970 in 64 bits end on 294247-01-10
_LOSSY = {"date": "NOT isfinite({})", "timestamp": _BEYOND, "timestamptz": _BEYOND, "decimal": "{} = 'NaN'"}
"""Values that PostgreSQL has and the Spark type has not."""


@dataclass(frozen=True)
class SourceColumn:
    """A column of the source. `type` is as declared, `base_type` the same with domains resolved."""

    name: str
    type: str
    base_type: str
    comment: Optional[str] = None


@dataclass(frozen=True)
class Projection:
    """How a column is read: an SQL expression, and what Spark makes of its result (None: takes it as it is)."""

    name: str
    expression: str
    spark_expression: Optional[str] = None


@dataclass(frozen=True)
class DateColumn:
    """The column that decides a row's month. `timezone` matters for timestamptz only."""

    name: str
    base_type: str
    timezone: str

    @property
    def _zoned(self) -> bool:
        return self.base_type == "timestamp with time zone"

    def bound(self, moment: datetime) -> str:
        """`moment` as an SQL value to compare `local` with."""
        if self.base_type == "date":
            return f"DATE '{moment.date().isoformat()}'"
        return f"TIMESTAMP '{moment.isoformat(sep=' ')}'"

    @property
    def local(self) -> str:
        """The column in the wall time that months are told by."""
        column = quote(self.name)
        return f"({column} AT TIME ZONE '{self.timezone}')" if self._zoned else column

    def between(self, start: datetime, end: datetime) -> str:
        """The condition start <= local < end, which an index on the column serves.

        The clock may show the first hour of a month twice (America/Havana, 2026-11-01): for a timestamptz the wall
        time decides, as in `count_by_month`, and a range of instants a day wider is there for the index.
        """
        low, high = self.bound(start), self.bound(end)
        condition = f"{self.local} >= {low} AND {self.local} < {high}"
        if not self._zoned:
            return condition
        column, zone, day = quote(self.name), f"AT TIME ZONE '{self.timezone}'", "interval '1 day'"
        return f"{condition} AND {column} >= {low} {zone} - {day} AND {column} < {high} {zone} + {day}"

    @property
    def undated(self) -> str:
        """The condition of rows without a month: NULL or infinite. Equality, unlike isfinite(), uses an index."""
        column = quote(self.name)
        return f"({column} IS NULL OR {column} = 'infinity' OR {column} = '-infinity')"


def month_bounds(month: Month) -> tuple[datetime, datetime]:
    """The first instant of the month and that of the next, as wall time."""
    return _midnight(month.first_day), _midnight(month.plus(1).first_day)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min)


def slices(column: DateColumn, month: Month, count: int) -> list[str]:
    """Conditions that cut the month into `count` equal spans (fewer when the column has whole days only).

    A month before year 1 or after year 9998, which Python cannot count in, is one slice.
    """
    if not 0 < month.year < MAXYEAR:
        local = column.local
        return [f"extract(year FROM {local}) = {month.year} AND extract(month FROM {local}) = {month.number}"]
    start, end = month_bounds(month)
    if column.base_type == "date":
        count = min(count, (end - start).days)
    step = (end - start) / count
    cuts = [_whole(column, start + step * index) for index in range(count)] + [end]
    return [column.between(low, high) for low, high in zip(cuts, cuts[1:])]


def _whole(column: DateColumn, moment: datetime) -> datetime:
    return _midnight(moment.date()) if column.base_type == "date" else moment.replace(microsecond=0)


def spans(months: Sequence[Month]) -> list[tuple[Month, Month]]:
    """The runs of adjacent months, each as first month and the month after its last."""
    runs: list[tuple[Month, Month]] = []
    for month in sorted(set(months)):
        if runs and runs[-1][1] == month:
            runs[-1] = (runs[-1][0], month.plus(1))
        else:
            runs.append((month, month.plus(1)))
    return runs


def in_months(column: DateColumn, months: Sequence[Month]) -> str:
    """The condition of rows in any of `months`."""
    conditions = [
        f"({column.between(_midnight(first.first_day), _midnight(after.first_day))})" for first, after in spans(months)
    ]
    return f"({' OR '.join(conditions)})"


def count_by_month(
    relation: str, column: DateColumn, months: Optional[Sequence[Month]], lossy: Mapping[str, str]
) -> str:
    """A query for year, month, rows, lossy and the extremes of the date column.

    Of all dated rows when `months` is None. `lossy` is how many rows meet each of the conditions, in their order.
    """
    condition = f"NOT {column.undated}" if months is None else in_months(column, months)
    return (
        f"SELECT extract(year FROM {column.local})::int AS year, extract(month FROM {column.local})::int AS month,"
        f" min({quote(column.name)})::text AS min_date, max({quote(column.name)})::text AS max_date,"
        f" {_counts(lossy)} FROM {relation} WHERE {condition} GROUP BY 1, 2"
    )


def count_undated(relation: str, column: DateColumn, lossy: Mapping[str, str]) -> str:
    """A query for rows and lossy of the rows without a month."""
    return f"SELECT {_counts(lossy)} FROM {relation} WHERE {column.undated}"


def _counts(lossy: Mapping[str, str]) -> str:
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in lossy.values())
    return f"count(*) AS rows, ARRAY[{counts}]::bigint[] AS lossy"


def text_projections(columns: Iterable[SourceColumn], cleaning: Mapping[str, Mapping[str, Any]]) -> list[Projection]:
    """Every column as the text that PostgreSQL writes for it, cleaned where the table's entry asks for it."""
    return [Projection(column.name, _text(column, cleaning.get(column.name, {}))) for column in columns]


def typed_projections(
    columns: Sequence[SourceColumn], cleaning: Mapping[str, Mapping[str, Any]], lossy: Collection[str]
) -> list[Projection]:
    """Every column in the Spark type that holds it without loss, else as text.

    Spark has no infinite date and no NaN decimal. In a column of `lossy` such a value is NULL, and a further text
    column `<name>_text` says what it was.
    """
    projections = [_typed(column, cleaning.get(column.name, {}), column.name in lossy) for column in columns]
    names = {column.name for column in columns}
    for column in columns:
        if column.name in lossy:
            told = f"CASE WHEN {_LOSSY[_kind(column)].format(quote(column.name))} THEN {quote(column.name)}::text END"
            projections.append(Projection(_free(f"{column.name}_text", names), told))
    return projections


def lossy_conditions(columns: Iterable[SourceColumn], cleaning: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The conditions, by column, of values that the column's Spark type does not have."""
    return {
        column.name: _LOSSY[_kind(column)].format(quote(column.name))
        for column in columns
        if _kind(column) in _LOSSY and column.name not in cleaning
    }


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _kind(column: SourceColumn) -> str:
    """What the column's type is to Spark: date, timestamp, timestamptz, decimal, as it is, or text."""
    kind = column.base_type
    if kind in _NUMBER_AND_BOOLEAN:
        return "as it is"
    if _fits_decimal(kind):
        return "decimal"
    if kind.startswith("timestamp") and not kind.endswith("[]"):
        return "timestamptz" if kind.endswith(" with time zone") else "timestamp"
    return "date" if kind == "date" else "text"


def _typed(column: SourceColumn, cleaning: Mapping[str, Any], lossy: bool) -> Projection:
    if cleaning:
        return Projection(column.name, _text(column, cleaning))
    name, kind = quote(column.name), _kind(column)
    expression = _EXPRESSIONS.get(kind, "{}").format(name)
    if lossy:
        expression = f"CASE WHEN {_LOSSY[kind].format(name)} THEN NULL ELSE {expression} END"
    return Projection(column.name, expression, _SPARK_EXPRESSIONS.get(kind))


def _fits_decimal(kind: str) -> bool:
    if not kind.startswith("numeric(") or kind.endswith("]"):
        return False
    precision, scale = (int(part) for part in kind[len("numeric(") : -1].split(","))
    return precision <= _MAX_DECIMAL and 0 <= scale <= precision


def _text(column: SourceColumn, cleaning: Mapping[str, Any]) -> str:
    if "join" not in cleaning:
        return f"{quote(column.name)}::text"
    if not column.base_type.endswith("[]"):
        raise InvalidInputError(f"column {column.name} is {column.type}, and join needs an array: mend tables.yaml")
    return f"array_to_string({quote(column.name)}, {_literal(cleaning['join'])})"


def _literal(text: str) -> str:
    # E'…' reads the same whatever standard_conforming_strings says.
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def select(relation: str, projections: Sequence[Projection], date_column: str) -> str:
    """The subquery that Spark reads: columns c0, c1, …, and the date column as SLICED for the conditions.

    Neutral names spare Spark the quotes, duplicates in another case, and reserved words of the source's own.
    """
    columns = [f'{projection.expression} AS "c{index}"' for index, projection in enumerate(projections)]
    return f'SELECT {", ".join(columns)}, {quote(date_column)} AS "{SLICED}" FROM {relation}'


def session_init(snapshot: Optional[str]) -> str:
    """What each of Spark's readers says first: join the snapshot, fix the settings."""
    statements = [f"SET LOCAL {name} = '{value}'" for name, value in SETTINGS.items()]
    if snapshot is not None:
        join = ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", f"SET TRANSACTION SNAPSHOT '{snapshot}'"]
        statements = join + statements
    return "; ".join(statements)
