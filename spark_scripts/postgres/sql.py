"""The SQL that the job sends to PostgreSQL, built by plain functions.

Identifiers are quoted here; month bounds, zones and the header of a CSV file are the only literals. Relations are read
under the role's own search_path: see pg_catalog.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, time

from spark_scripts.contract.identifiers import quote
from spark_scripts.contract.months import UNDATED, Month, Partition, runs
from spark_scripts.postgres.pg_catalog import call, cast, day, infix, int_array, one_of

DATE_TYPES = ("date", "timestamp without time zone", "timestamp with time zone")

SLICED = "sliced"
"""The name, in the subquery that Spark reads, of the column that the conditions of the slices are about."""

_EPOCH = day(date(1970, 1, 1))


@dataclass(frozen=True)
class DateColumn:
    """The column that decides a row's month. `timezone`, as zones.py writes it, matters for timestamptz only."""

    name: str
    base_type: str
    timezone: str

    @property
    def zoned(self) -> bool:
        """Whether the zone decides the month."""
        return self.base_type == "timestamp with time zone"

    def bound(self, moment: datetime) -> str:
        """`moment` as an SQL value to compare `local` with."""
        if self.base_type == "date":
            return day(moment.date())
        return f"TIMESTAMP '{moment.isoformat(sep=' ')}'"

    @property
    def local(self) -> str:
        """The column as the wall time that decides the month."""
        column = quote(self.name)
        return f"({column} AT TIME ZONE {literal(self.timezone)})" if self.zoned else column

    def between(self, start: datetime, end: datetime) -> str:
        """The condition start <= local < end, which an index on the column serves.

        The clock may show the first hour of a month twice (America/Havana, 2026-11-01): for a timestamptz the wall
        time decides, as in `count_by_month`, and a range of instants a day wider is there for the index.
        """
        low, high = self.bound(start), self.bound(end)
        condition = f"{infix(self.local, '>=', low)} AND {infix(self.local, '<', high)}"
        if not self.zoned:
            return condition
        column, zone, one_day = quote(self.name), f"AT TIME ZONE {literal(self.timezone)}", "interval '1 day'"
        earliest, latest = infix(f"{low} {zone}", "-", one_day), infix(f"{high} {zone}", "+", one_day)
        return f"{condition} AND {infix(column, '>=', earliest)} AND {infix(column, '<', latest)}"

    @property
    def month_day(self) -> str:
        """The `epoch_day` of a row's partition: the first day of its month, in days since 1970-01-01.

        It subtracts numbers from a day, because the month of PostgreSQL's first timestamp begins before all its dates.
        """
        local = self.local
        # extract() gives a numeric for the other types, which is slower.
        of_month = f"extract(day FROM {local})" if self.base_type == "date" else call("date_part", "'day'", local)
        before = infix(infix(cast(local, "date"), "-", _EPOCH), "-", f"{of_month}::int")
        finite = call("isfinite", quote(self.name))
        return f"CASE WHEN {finite} THEN {infix(before, '+', '1')} ELSE {UNDATED.epoch_day} END"

    @property
    def undated(self) -> str:
        """The condition of rows without a month: NULL or infinite. Equality, unlike isfinite(), uses an index."""
        column = quote(self.name)
        infinite = " OR ".join(infix(column, "=", value) for value in ("'infinity'", "'-infinity'"))
        return f"({column} IS NULL OR {infinite})"


@dataclass(frozen=True)
class Rows:
    """The rows that are read at once: they meet `condition`, and `days` are the values of `month_day` among them."""

    condition: str
    month_day: str
    days: tuple[int, ...]


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
        year, number = f"extract(year FROM {column.local})", f"extract(month FROM {column.local})"
        return [f"{infix(year, '=', str(month.year))} AND {infix(number, '=', str(month.number))}"]
    start, end = month_bounds(month)
    if column.base_type == "date":
        count = min(count, (end - start).days)
    step = (end - start) / count
    cuts = [_whole(column, start + step * index) for index in range(count)] + [end]
    return [column.between(low, high) for low, high in zip(cuts, cuts[1:])]


def _whole(column: DateColumn, moment: datetime) -> datetime:
    return _midnight(moment.date()) if column.base_type == "date" else moment.replace(microsecond=0)


def in_months(column: DateColumn, months: Sequence[Month]) -> str:
    """The condition of rows in any of `months`."""
    conditions = [
        f"({column.between(_midnight(run[0].first_day), _midnight(run[-1].plus(1).first_day))})" for run in runs(months)
    ]
    return f"({' OR '.join(conditions)})"


def in_partitions(column: DateColumn, partitions: Collection[Partition]) -> str:
    """The condition of rows in any of `partitions`."""
    months = [partition for partition in partitions if isinstance(partition, Month)]
    conditions = [in_months(column, months)] if months else []
    return f"({' OR '.join(conditions + [column.undated] * (UNDATED in partitions))})"


def of_days(column: DateColumn, days: Iterable[int]) -> str:
    """The condition of rows whose `month_day` is one of `days`."""
    return one_of(column.month_day, days)


def count_by_month(
    relation: str, column: DateColumn, condition: str, lossy: Mapping[str, str], blocks: bool, ids: str = "''"
) -> str:
    """A query for day, rows, lossy, the date column's extremes, first_block, last_block and ids of each month.

    `day` is the `month_day`, `lossy` the number of rows that meet each of the conditions, in their order. The blocks
    are the first and the last with rows of the month (NULL unless `blocks`; min and max of a ctid need PostgreSQL 14).
    `ids` is the aggregate of that name, such as `source_state.IDS`.
    """
    name = quote(column.name)
    rows = "pg_catalog.count(*)"
    counts = ", ".join(f"{rows} FILTER (WHERE {condition})" for condition in lossy.values())
    extremes = [cast(call(extreme, name), "text") for extreme in ("min", "max")]
    found = [_block(extreme) if blocks else "NULL::bigint" for extreme in ("min", "max")]
    return (
        f"SELECT {column.month_day} AS day, {rows} AS rows, ARRAY[{counts}]::bigint[] AS lossy,"
        f" {extremes[0]} AS min_date, {extremes[1]} AS max_date, {found[0]} AS first_block, {found[1]} AS last_block,"
        f" {ids} AS ids"
        f" FROM {relation} WHERE {condition} GROUP BY 1"
    )


def _block(extreme: str) -> str:
    """The number of the first (`min`) or last (`max`) block; a ctid has the text of a point, and no cast to one."""
    point = cast(cast(call(extreme, "ctid"), "text"), "point")
    return f"({point})[0]::bigint"


def select_lines(relation: str, header: str, line: str, sliced: str, rows: Rows, rest: Sequence[str] = ()) -> str:
    """The subquery for CSV, in which Spark's readers take slices by `slice_of_lines`: line and month_day of the rows.

    `rest` are the further parts of a line, as part1, part2, …; they are NULL for the header.

    `header` comes as the first line of every month: PostgreSQL runs the parts of a UNION ALL in their order where
    neither parallel nor asynchronous plans are allowed (`session.reader_init`).
    """
    nothing = "".join(f", NULL AS part{number}" for number, _ in enumerate(rest, 1))
    parts = "".join(f", {part}" for part in rest)
    return (
        f"SELECT {literal(header)} AS line{nothing}, day AS month_day, TRUE AS header, NULL AS {SLICED}"
        f" FROM {call('unnest', int_array(rows.days))} AS day"
        f" UNION ALL SELECT {line}{parts}, {rows.month_day}, FALSE, {sliced} FROM {relation} WHERE {rows.condition}"
    )


def lines_by_day(relation: str, line: str, month_day: str, condition: str, max_bytes: int) -> str:
    """A query for the lines of the rows that meet `condition`: a row for each `month_day`, with its lines as JSON.

    It has no result when the lines have more bytes than `max_bytes`: they are kept and added up before any is sent.
    """
    size = call("sum", call("octet_length", "line"))
    return (
        f"WITH lines AS (SELECT {month_day} AS day, {line} AS line FROM {relation} WHERE {condition})"
        f" SELECT day, {call('json_agg', 'line')} AS lines FROM lines"
        f" WHERE {infix(f'(SELECT {size} FROM lines)', '<=', str(max_bytes))} GROUP BY day"
    )


def slice_of_lines(condition: str, days: Sequence[int]) -> str:
    """The condition of a slice of `select_lines`: the rows that meet `condition`, below the headers of `days`."""
    return f"(header AND {one_of('month_day', days)}) OR (NOT header AND {condition})"


def select_typed(relation: str, expressions: Sequence[str], sliced: str, rows: Rows) -> str:
    """The subquery for typed values: c0, c1, … and month_day of the rows.

    With neutral names Spark does not meet the source's quotes, reserved words, and names that differ only in case.
    """
    columns = ", ".join(f"{expression} AS c{index}" for index, expression in enumerate(expressions))
    return (
        f"SELECT {columns}, {rows.month_day} AS month_day, {sliced} AS {SLICED} FROM {relation} WHERE {rows.condition}"
    )


def select_columns(relation: str, names: Iterable[str], condition: str) -> str:
    """A query for these columns, for the planner. The user may have no right to read the others."""
    return f"SELECT {', '.join(map(quote, names))} FROM {relation} WHERE {condition}"


def any_row(relation: str) -> str:
    """A query for at most one row, without columns."""
    return f"SELECT TRUE AS found FROM {relation} LIMIT 1"


def literal(text: str) -> str:
    """`text` as an SQL literal, read the same whatever standard_conforming_strings and backslash_quote say."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"
