"""Looking at rows: at a bounded sample, or with `--exact` at all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aws_setup.onboarding.relations import STORED, Column, Found
from aws_setup.onboarding.session import Session
from spark_scripts.contract.identifiers import quote
from spark_scripts.contract.months import Month
from spark_scripts.postgres.pg_catalog import call, cast, infix

EARLIEST_MEANT = Month(1970, 2)
"""Earlier dates are mostly stand-ins for "unknown": 0001-01-01, 1900-01-01, and 1970-01-01, the zero of Unix."""

SAMPLE_ROWS = 1000
_SAMPLE_BLOCKS = 100
_VIEW_COST = 10_000.0
"""A view is sampled when the planner puts the sample below this; one pass over 10,000 blocks in a row costs as much."""

_LENGTH = 200


@dataclass(frozen=True)
class Dates:
    """What rows show of a date column: how many are NULL, and the extremes that are not infinite, as text.

    `meant` is the first that is no stand-in for "unknown".
    """

    nulls: int
    first: str | None
    meant: str | None
    last: str | None

    @property
    def values(self) -> tuple[str, ...]:
        """The extremes that there are."""
        return tuple(value for value in (self.first, self.meant, self.last) if value)


@dataclass(frozen=True)
class Texts:
    """What rows show of a text column. `values` are some of its texts, cut; they are never shown."""

    line_breaks: bool
    empty: bool
    nulls: bool
    values: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Sample:
    """What some rows show. `whole` says that they are all rows of the relation."""

    rows: int
    whole: bool
    dates: dict[str, Dates]
    texts: dict[str, Texts]


def take_sample(session: Session, relation: Found, columns: Sequence[Column], blocks: int) -> Sample | None:
    """Look at about 100 blocks and at most 1,000 rows; None where even that would read much.

    `blocks` is the number of blocks of the relation. Raises RefusedError.
    """
    source = relation.sql_name
    few = blocks <= _SAMPLE_BLOCKS
    if relation.kind in STORED and not few:
        source += f" TABLESAMPLE SYSTEM ({100 * _SAMPLE_BLOCKS / blocks:.6f})"
    rows = f"SELECT {_listed(_looked_at(columns))} FROM {source} LIMIT {SAMPLE_ROWS}"
    if relation.kind == "f" or (relation.kind == "v" and session.plan(rows)["Total Cost"] > _VIEW_COST):
        return None
    found = _look(session, columns, rows, values=True)
    return Sample(found.rows, few and found.rows < SAMPLE_ROWS, found.dates, found.texts)


def count_all(session: Session, relation: Found, columns: Sequence[Column], sample: Sample | None) -> Sample:
    """Look at all rows; some of the texts are those of `sample`. Raises RefusedError."""
    rows = f"SELECT {_listed(_looked_at(columns))} FROM {relation.sql_name}"
    found = _look(session, columns, rows, values=False)
    if sample is None:
        return found
    texts = {name: replace(text, values=sample.texts[name].values) for name, text in found.texts.items()}
    return replace(found, texts=texts)


def _looked_at(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.date_type or column.textual]


def _listed(columns: Sequence[Column]) -> str:
    """The columns under neutral names; without any, a query still counts its rows."""
    return ", ".join(f"{quote(column.name)} AS c{index}" for index, column in enumerate(columns)) or "1 AS c"


def _look(session: Session, columns: Sequence[Column], rows: str, *, values: bool) -> Sample:
    looked = list(enumerate(_looked_at(columns)))
    dates = [(f"c{index}", column.name) for index, column in looked if column.date_type]
    texts = [(cast(f"c{index}", "text"), column.name) for index, column in looked if not column.date_type]
    query = (
        f"SELECT {call('count', '*')} AS rows,"
        f" {_array([_count(f'{name} IS NULL') for name, _ in dates], 'int8')} AS nulls,"
        f" {_array([_extreme('min', name) for name, _ in dates], 'text')} AS firsts,"
        f" {_array([_extreme('min', name, _meant(name)) for name, _ in dates], 'text')} AS meant,"
        f" {_array([_extreme('max', name) for name, _ in dates], 'text')} AS lasts,"
        f" {_array([_any(_breaks(text)) for text, _ in texts], 'bool')} AS breaks,"
        f" {_array([_any(infix(text, '=', _EMPTY)) for text, _ in texts], 'bool')} AS empty,"
        f" {_array([_any(f'{text} IS NULL') for text, _ in texts], 'bool')} AS text_nulls,"
        f" {_array([_some(text) if values else 'NULL' for text, _ in texts], 'text')} AS values"
        f" FROM ({rows}) AS looked"
    )
    [found] = session.rows_of_user(query)
    of_dates = zip(found["nulls"], found["firsts"], found["meant"], found["lasts"], strict=True)
    of_texts = zip(found["breaks"], found["empty"], found["text_nulls"], found["values"], strict=True)
    return Sample(
        found["rows"],
        True,
        {name: Dates(*one) for (_, name), one in zip(dates, of_dates, strict=True)},
        {
            name: Texts(bool(breaks), bool(empty), bool(nulls), tuple(json.loads(some or "[]")))
            for (_, name), (breaks, empty, nulls, some) in zip(texts, of_texts, strict=True)
        },
    )


_EMPTY = "''::pg_catalog.text"


def _array(expressions: Sequence[str], of: str) -> str:
    return f"ARRAY[{', '.join(expressions)}]::pg_catalog.{of}[]"


def _count(condition: str) -> str:
    return f"{call('count', '*')} FILTER (WHERE {condition})"


def _extreme(extreme: str, name: str, condition: str = "TRUE") -> str:
    return cast(f"({call(extreme, name)} FILTER (WHERE {call('isfinite', name)} AND {condition}))", "text")


def _meant(name: str) -> str:
    return infix(name, ">=", f"'{EARLIEST_MEANT.first_day}'")


def _any(condition: str) -> str:
    return call("bool_or", condition)


def _breaks(text: str) -> str:
    return infix(text, "~", "E'[\\n\\r]'")


def _some(text: str) -> str:
    """Some of the texts, as JSON; the sample that they come from is small."""
    distinct = call("json_agg", f"DISTINCT {call('left', text, str(_LENGTH))}")
    return cast(f"({distinct} FILTER (WHERE {infix(text, '<>', _EMPTY)}))", "text")
