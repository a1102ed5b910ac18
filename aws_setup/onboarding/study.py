"""What is known of one relation: its columns, its size, some or all of its rows, and its months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from aws_setup.onboarding import queries
from aws_setup.onboarding.dates import Candidate, candidates
from aws_setup.onboarding.relations import STORED, Column, Found, read_columns
from aws_setup.onboarding.samples import Sample, count_all, take_sample
from aws_setup.onboarding.session import RefusedError, Session
from spark_scripts.contract.months import Month, Partition
from spark_scripts.postgres.pg_catalog import call
from spark_scripts.postgres.source import date_column


@dataclass(frozen=True)
class NotProposed:
    """A relation without an entry. `rights` says that the user lacks rights for it."""

    relation: Found
    reason: str
    rights: bool = False


@dataclass(frozen=True)
class Study:
    """A relation that can be proposed.

    `candidates` are its date columns, the best first. `rows` is the planner's estimate, or a count. `size` is in bytes,
    without indexes, and None for what is not stored here; `blocks` are those of the rows. `counted` is the rows of each
    month, None where they were not counted.
    """

    relation: Found
    columns: Sequence[Column]
    sample: Sample | None
    candidates: Sequence[Candidate]
    rows: int
    size: int | None
    blocks: int
    notes: Sequence[str] = ()
    counted: Mapping[Month, int] | None = None

    @property
    def date(self) -> Candidate:
        """The best candidate for the date column."""
        return self.candidates[0]

    @property
    def zoned(self) -> bool:
        """Whether a time zone decides the month of a row."""
        return self.date.column.date_type == "timestamp with time zone"

    @property
    def month_rows(self) -> int | None:
        """The rows of a month, on average; None where the months are not known."""
        if self.counted:
            return ceil(sum(self.counted.values()) / len(self.counted))
        return ceil(self.rows * (1 - (self.date.nulls or 0)) / self.date.months) if self.date.months else None

    @property
    def month_bytes(self) -> int | None:
        """The bytes of a month, on average; None where they are not known."""
        if self.size is None or self.month_rows is None or not self.rows:
            return None
        return ceil(self.size * self.month_rows / self.rows)


def study(session: Session, relation: Found, now: Month, *, exact: bool) -> Study | NotProposed:
    """Find out about the relation. `now` is the current month; with `exact` all rows are counted."""
    try:
        columns = read_columns(session, relation)
        if not any(column.date_type for column in columns):
            return NotProposed(relation, "no column of type date, timestamp or timestamptz, so the rows have no month")
        if lacking := _lacking(relation):
            return NotProposed(relation, lacking, rights=True)
        return _studied(session, relation, columns, now, exact=exact)
    except RefusedError as error:
        return NotProposed(relation, f"PostgreSQL did not answer: {error}")


def _lacking(relation: Found) -> str | None:
    if not relation.usable:
        return f"no right to use the schema {relation.schema}"
    if not relation.readable:
        return "no right to read it"
    return "row level security hides rows from this user" if relation.hides_rows else None


def _studied(
    session: Session, relation: Found, columns: Sequence[Column], now: Month, *, exact: bool
) -> Study | NotProposed:
    [size] = session.rows(queries.TABLE_SIZE, relation.oid)
    sample, notes = _rows_seen(session, relation, columns, size["blocks"], exact=exact)
    ranked = candidates(session, relation, columns, sample, now, exact=exact)
    if ranked[0].of_birth:
        return NotProposed(relation, "the only date is a date of birth")
    stored = relation.kind in STORED
    rows = 0 if stored and not size["blocks"] else int(session.plan(f"SELECT * FROM {relation.sql_name}")["Plan Rows"])
    if sample and sample.whole:
        rows = sample.rows
    found = Study(relation, columns, sample, ranked, rows, size["bytes"] if stored else None, size["blocks"], notes)
    return replace(found, counted=_counted(session, found)) if exact else found


def _rows_seen(
    session: Session, relation: Found, columns: Sequence[Column], blocks: int, *, exact: bool
) -> tuple[Sample | None, list[str]]:
    """The rows that were looked at, and what is to be said about that. Texts are from the sample in any case."""
    sample, notes = None, []
    try:
        sample = take_sample(session, relation, columns, blocks)
        if sample is None:
            notes = ["not sampled, because that may read much: --exact reads it"]
    except RefusedError as error:
        notes = [f"could not be sampled: {error}"]
    return (count_all(session, relation, columns, sample), []) if exact else (sample, notes)


def _counted(session: Session, found: Study) -> dict[Month, int]:
    """The rows of each month, by the job's own expression for the month of a row (in UTC)."""
    sources = [column.source for column in found.columns]
    date = date_column(sources, found.date.column.name, found.relation.quoted, "UTC")
    rows = session.rows_of_user(
        f"SELECT {date.month_day} AS day, {call('count', '*')} AS rows FROM {found.relation.sql_name} GROUP BY 1"
    )
    months = {Partition.of_epoch_day(row["day"]): row["rows"] for row in rows}
    earliest = found.date.meant
    return {month: months[month] for month in months if isinstance(month, Month) and earliest and month >= earliest}
