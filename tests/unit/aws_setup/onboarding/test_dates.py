from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from aws_setup.onboarding.dates import candidates, months_of, share, sort_of
from aws_setup.onboarding.relations import Column, Statistics
from aws_setup.onboarding.session import Session
from spark_scripts.contract.months import Month
from tests.unit.aws_setup.onboarding.relations import column, relation

NOW = Month(2026, 11)


class NoIndexes:
    """A session of a server that answers nothing by an index."""

    def by_index(self, _query: str) -> None:
        return None


def ranked(*columns: Column, **of_relation: Any) -> list[str]:
    return [one.column.name for one in found(columns, **of_relation)]


def found(columns: Sequence[Column], **of_relation: Any) -> list[Any]:
    session = cast("Session", NoIndexes())
    return list(candidates(session, relation(**of_relation), columns, None, NOW, exact=False))


def statistics(first: str, last: str, nulls: float = 0.0) -> Statistics:
    return Statistics(nulls, None, (first, last))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("created_at", "updated_at"),
        ("createdAt", "lastModified"),
        ("order_date", "last_update"),
        ("placed_at", "deliver_on"),
        ("start_date_time", "end_date_time"),
        ("hire_date", "birth_date"),
        ("InvoiceDate", "DueDate"),
        ("rental_date", "return_date"),
        ("recorded", "deleted_at"),
        ("day", "expires"),
    ],
)
def test_the_name_says_which_date_stays_with_a_row(better: str, worse: str) -> None:
    assert ranked(column(worse), column(better)) == [better, worse]


def test_a_part_of_a_word_says_nothing() -> None:
    assert sort_of("friend_since").score == sort_of("some_day").score  # "end" is no word of it
    assert sort_of("reborn").text == "a date"


def test_of_two_dates_of_a_sort_the_filled_one_wins_then_the_indexed_one() -> None:
    often_null = column("sent_at", statistics=statistics("2024-01-05", "2024-06-05", nulls=0.4))
    assert ranked(often_null, column("opened_at", filled=True)) == ["opened_at", "sent_at"]
    assert ranked(column("sent_at"), column("opened_at", indexed=True)) == ["opened_at", "sent_at"]


def test_the_column_of_the_partitions_wins_over_a_better_name() -> None:
    assert ranked(column("created_at"), column("day"), kind="p", partition_key="day") == ["day", "created_at"]


def test_a_date_that_reaches_into_the_future_loses() -> None:
    future = column("booked_for", statistics=statistics("2026-01-05", "2027-06-05"))
    past = column("some_day", statistics=statistics("2026-01-05", "2026-11-05"))
    assert ranked(future, past) == ["some_day", "booked_for"]
    assert "reaches to 2027-06, in the future" in found([future])[0].reasons


def test_stand_ins_for_unknown_are_left_out_of_the_span() -> None:
    values = ("0001-01-01", "1900-01-01", "1970-01-01", "2024-03-05", "2024-05-06", "infinity", "-infinity")
    [one] = found([column("created_at", statistics=Statistics(0.0, None, values))])
    assert (str(one.first), str(one.meant), str(one.last), one.months) == ("0001-01", "2024-03", "2024-05", 3)


def test_without_statistics_nothing_is_claimed() -> None:
    [one] = found([column("created_at")])
    assert (one.first, one.last, one.nulls, one.evidence) == (None, None, None, "nothing")


def test_columns_of_other_types_are_no_candidates() -> None:
    assert ranked(column("at", "text"), column("at2", "timestamp without time zone[]"), column("t", "interval")) == []
    assert ranked(column("at", "timestamp(3) with time zone"), column("on", "date")) == ["at", "on"]


def test_months_are_read_from_what_postgresql_writes() -> None:
    values = ["2024-02-29 23:59:59.999999+00", "0044-03-15 BC", "12024-01-01", "infinity", "2024-01-01 00:00:00"]
    assert months_of(values) == (Month(2024, 2), Month(-44, 3), Month(12024, 1), Month(2024, 1))


def test_a_small_share_is_not_called_none() -> None:
    assert [share(part) for part in (0, 0.0001, 0.05, 1)] == ["0%", "under 1%", "5%", "100%"]
