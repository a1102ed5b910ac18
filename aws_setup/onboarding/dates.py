"""Which column decides the month of a row: the candidates, what is known of them, and their ranking with reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aws_setup.onboarding.relations import STORED, Column, Found
from aws_setup.onboarding.samples import EARLIEST_MEANT, Sample
from aws_setup.onboarding.session import Session
from spark_scripts.contract.identifiers import quote
from spark_scripts.contract.months import Month
from spark_scripts.postgres.pg_catalog import call, cast, infix

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")
_DAY = re.compile(r"(\d{4,})-(\d\d)-\d\d[^B]*( BC)?")

_LONG_AGO = Month(1950, 1)


@dataclass(frozen=True)
class _Sort:
    """What a column's name says about its dates: a word of `words` is in it. The first sort that fits counts."""

    words: frozenset[str]
    score: int
    text: str


def _sort(score: int, text: str, words: str) -> _Sort:
    return _Sort(frozenset(words.split()), score, text)


_BIRTH = _sort(-60, "a date of birth", "birth birthday birthdate dob born geburt geburtstag geburtsdatum")
_SORTS = (
    _BIRTH,
    _sort(
        -10,
        "changes with each update, so rows move to another month",
        "updated update modified modification changed change touched synced refreshed edited last latest seen",
    ),
    _sort(
        -15,
        "may lie in the future",
        "expires expiry expiration expire due until deadline required scheduled planned deliver renew renews renewal"
        " next end ends to eta estimated expected",
    ),
    _sort(
        0,
        "is filled in later",
        "shipped ship delivered closed completed finished ended deleted cancelled canceled returned return paid"
        " resolved approved processed archived discontinued confirmed deactivated left terminated",
    ),
    _sort(40, "says when the row was made", "created creation create inserted insert recorded logged registered"),
    _sort(
        35,
        "says when it happened",
        "ordered order placed invoice invoiced payment rental event occurred occurrence received registration signup"
        " joined issued booked booking posted published sent submitted started start opened begin transaction visit"
        " hire hired entry added sold sale purchase purchased measured sampled timestamp ts time datetime logtime",
    ),
)
_NEUTRAL = _sort(20, "a date", "")


@dataclass(frozen=True)
class Candidate:
    """A column that could decide the months.

    `nulls` is the share of NULLs, `first` and `last` the months of its extremes: None where nothing is known. `meant`
    is the first month that is not a stand-in for "unknown". `evidence` says where the figures are from.
    """

    column: Column
    nulls: float | None
    first: Month | None
    meant: Month | None
    last: Month | None
    evidence: str
    score: float
    reasons: tuple[str, ...]

    @property
    def of_birth(self) -> bool:
        """Whether it is a date of birth by its name."""
        return sort_of(self.column.name) is _BIRTH

    @property
    def months(self) -> int | None:
        """How many months the dates span, stand-ins left out."""
        if self.meant is None or self.last is None:
            return None
        return (self.last.year - self.meant.year) * 12 + self.last.number - self.meant.number + 1


def candidates(
    session: Session, relation: Found, columns: Sequence[Column], sample: Sample | None, now: Month, *, exact: bool
) -> list[Candidate]:
    """The columns with dates, the best first. `now` is the current month; `exact` says that `sample` has all rows."""
    found = []
    for column in columns:
        if column.date_type:
            known = _known(session, relation, column, sample, exact=exact)
            found.append(_judged(relation, column, known, now))
    return sorted(found, key=lambda candidate: -candidate.score)  # stable: of equals the first column of the table


@dataclass(frozen=True)
class _Known:
    nulls: float | None
    months: tuple[Month, ...]
    evidence: str


def _known(session: Session, relation: Found, column: Column, sample: Sample | None, *, exact: bool) -> _Known:
    """The best figures: those of a count, else of an index with the statistics, of the statistics, of the sample."""
    looked = sample.dates[column.name] if sample else None
    nulls = looked.nulls / sample.rows if sample and looked and sample.rows else None
    if looked and sample and (exact or sample.whole):
        return _Known(nulls, months_of(looked.values), "count")
    extremes = _by_index(session, relation, column)
    if column.statistics:
        nulls = column.statistics.nulls
        return _Known(nulls, extremes or months_of(column.statistics.values), "index" if extremes else "statistics")
    if extremes or looked:
        seen = months_of(looked.values) if looked else ()
        return _Known(nulls, extremes or seen, "index" if extremes else "sample")
    return _Known(None, (), "nothing")


def _by_index(session: Session, relation: Found, column: Column) -> tuple[Month, ...]:
    """The months of the extremes where an index gives them at once."""
    if not column.indexed or relation.kind not in STORED:
        return ()
    name = quote(column.name)
    lowest = f"'{EARLIEST_MEANT.first_day}'"
    finite = f"{infix(name, '>', _LEAST)} AND {infix(name, '<', _MOST)}"
    wanted = (("min", finite), ("min", f"{infix(name, '>=', lowest)} AND {finite}"), ("max", finite))
    extremes = [
        f"(SELECT {cast(call(extreme, name), 'text')} FROM {relation.sql_name} WHERE {condition})"
        for extreme, condition in wanted
    ]
    found = session.by_index(f"SELECT ARRAY[{', '.join(extremes)}] AS extremes")
    return months_of(value for row in found or [] for value in row["extremes"] if value)


_LEAST, _MOST = "'-infinity'", "'infinity'"


def _judged(relation: Found, column: Column, known: _Known, now: Month) -> Candidate:
    sort = sort_of(column.name)
    score, reasons = float(sort.score), [sort.text]
    first = min(known.months, default=None)
    last = max(known.months, default=None)
    meant = min((month for month in known.months if month >= EARLIEST_MEANT), default=first)
    for points, reason in _facts(relation, column, known):
        score += points
        reasons.append(reason)
    if last and last > now:
        score -= 25
        reasons.append(f"reaches to {last}, in the future")
    if meant and meant < _LONG_AGO:
        score -= 25
        reasons.append(f"begins in {meant}")
    return Candidate(column, known.nulls, first, meant, last, known.evidence, score, tuple(reasons))


def _facts(relation: Found, column: Column, known: _Known) -> Iterable[tuple[float, str]]:
    if column.filled:
        yield 10, "NOT NULL"
    elif known.nulls is not None:
        yield (5, "no NULL seen") if known.nulls == 0 else (-40 * known.nulls, f"{share(known.nulls)} NULL")
    if relation.partition_key == column.name:
        yield 30, "the partitions are by it"
    if relation.kind in STORED:
        yield (8, "indexed") if column.indexed else (0, "not indexed")


def sort_of(name: str) -> _Sort:
    """What the name of a column says about its dates."""
    words = {word.lower() for word in _WORD.findall(name)}
    return next((sort for sort in _SORTS if sort.words & words), _NEUTRAL)


def share(part: float) -> str:
    """A share in percent, such as `3%`; a small one is not rounded to nothing."""
    return "under 1%" if 0 < part < 0.01 else f"{part:.0%}"


def months_of(values: Iterable[str]) -> tuple[Month, ...]:
    """The months of dates as PostgreSQL writes them (ISO); infinite ones have none."""
    matches = (_DAY.fullmatch(value) for value in values)
    return tuple(Month(-int(found[1]) if found[3] else int(found[1]), int(found[2])) for found in matches if found)
