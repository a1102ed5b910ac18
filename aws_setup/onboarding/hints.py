"""What to say besides the entry's keys: how the job will cut its reads, an index, the format, the time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aws_setup.onboarding.relations import STORED, Column
from aws_setup.onboarding.session import RefusedError, Session
from aws_setup.onboarding.study import Study
from spark_scripts.contract.identifiers import quote
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table
from spark_scripts.postgres import small_tables, sql
from spark_scripts.postgres.counts import Count
from spark_scripts.postgres.pg_catalog import cast
from spark_scripts.postgres.projections import typed_projections
from spark_scripts.postgres.slicing import MIN_BLOCKS, SlicePlan
from spark_scripts.postgres.source import HEAP, SIZE, Relation, date_column

CORES = 8
"""The cores of a job by the template's defaults: 4 workers of 2. They decide how many slices, hardly ever which."""

_LARGE_BLOCKS = 4 * MIN_BLOCKS
_WORTH = 4
"""An index is worth it where a month reads at most one of so many blocks."""

_IN_ORDER = 0.9
"""From this correlation on, the rows of a month lie side by side."""

_TEXT_TYPES = ("text", "character varying", "character", "name", "citext")


@dataclass(frozen=True)
class Slicing:
    """How the job would cut its reads of one month, and of all months, with the reasons."""

    month: str
    whole: str


def slicing(session: Session, found: Study, table: Table, now: Month) -> Slicing | None:
    """How the job would cut its reads of `table`, by its own rule; None for a relation without months."""
    if not found.month_rows or not found.date.last:
        return None
    name = found.relation.sql_name
    columns = [column.source for column in found.columns]
    date = date_column(columns, table.date_column, table.table, table.timezone)
    try:
        [heap], [size] = session.rows(HEAP, *[name] * HEAP.count("?")), session.rows(SIZE, name)
        relation = Relation(name, columns, date, heap["by_ctid"], heap["comment"], **size)
        month = min(found.date.last, now)
        counts = [Count(month, found.month_rows)]
        condition = sql.in_partitions(date, [month, UNDATED])
        few_in_month = small_tables.fit(table, relation, counts)
        few_in_all = small_tables.fit(table, relation, [Count(month, found.rows)])
        of_month = SlicePlan.chosen(session, table, relation, counts, condition, cores=CORES, full=False)
        of_all = SlicePlan.chosen(session, table, relation, counts, "TRUE", cores=CORES, full=True)
    except RefusedError:  # somebody has locked it meanwhile
        return None
    return Slicing(_way(of_month, few=few_in_month), _way(of_all, few=few_in_all))


def _way(plan: SlicePlan, *, few: bool) -> str:
    return "in one piece, by the driver (few rows)" if few else f"by {plan.by} ({plan.reason})"


def index_hint(found: Study) -> tuple[str, str] | None:
    """The statement for an index on the date column of a large table, and the reason; None where it is not worth it."""
    date, blocks = found.date, found.blocks
    partitioned_by_it = found.relation.partition_key == date.column.name
    if found.relation.kind not in STORED or date.column.indexed or partitioned_by_it or blocks < _LARGE_BLOCKS:
        return None
    if not date.months or not found.month_rows:
        return None
    statistics = date.column.statistics
    in_order = statistics is not None and abs(statistics.correlation or 0) >= _IN_ORDER
    read = blocks // date.months if in_order else min(found.month_rows, blocks)
    if read > blocks // _WORTH:
        return None
    where = (
        found.relation.quoted if found.relation.kind != "p" else "… (each partition, then CREATE INDEX on the table)"
    )
    reason = f"a month has about {read:,} of its {blocks:,} blocks, and without an index every month reads all of them"
    return f"CREATE INDEX CONCURRENTLY ON {where} ({quote(date.column.name)});", reason


def format_reasons(found: Study) -> list[str]:
    """Why Athena cannot read this table's CSV as it is meant, a reason for each column."""
    return [
        f"{column.name} has {' and '.join(reasons)}"
        for column in found.columns
        if column.textual and (reasons := list(_not_for_athena(found, column)))
    ]


def _not_for_athena(found: Study, column: Column) -> Iterator[str]:
    texts = found.sample.texts.get(column.name) if found.sample else None
    statistics = column.statistics
    values = statistics.values if statistics else ()
    if (texts and texts.line_breaks) or any("\n" in value or "\r" in value for value in values):
        yield "line breaks"
    empty = (texts and texts.empty) or "" in values
    nulls = (texts and texts.nulls) or (statistics and statistics.nulls)
    if empty and nulls:
        yield "both NULL and the empty text"


def texts_in_parquet(found: Study) -> list[str]:
    """The columns that are text in Parquet although their type is another, such as `tags (text[])`."""
    sources = [column.source for column in found.columns]
    projections = typed_projections(sources, {}, ())
    return [
        f"{source.name} ({source.type})"
        for source, projection in zip(sources, projections, strict=True)
        if projection.expression == cast(quote(source.name), "text") and not _is_text(source.base_type)
    ]


def _is_text(base_type: str) -> bool:
    """Whether the type is one of texts, in whatever schema an extension has it."""
    return not base_type.endswith("[]") and base_type.partition("(")[0].rpartition(".")[2] in _TEXT_TYPES
