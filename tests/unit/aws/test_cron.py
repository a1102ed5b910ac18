from __future__ import annotations

import pytest

from ingest_assets.cron import CronError, ticking_months, trailing_months
from spark_scripts.months import Month
from spark_scripts.months import trailing_months as covered

SEED = "cron(0 2 1,15 MAR,APR,MAY,JUN ? *)"


@pytest.mark.parametrize(
    ("field", "months"),
    [
        ("*", set(range(1, 13))),
        ("3", {3}),
        ("MAR,APR,MAY,JUN", {3, 4, 5, 6}),
        ("jan-mar", {1, 2, 3}),
        ("1/4", {1, 5, 9}),
        ("*/6", {1, 7}),
        ("2-8/3", {2, 5, 8}),
        ("DEC,1-2", {1, 2, 12}),
    ],
)
def test_the_months_of_a_schedule_are_read_as_eventbridge_reads_them(field: str, months: set[int]) -> None:
    assert ticking_months(f"cron(0 2 1,15 {field} ? *)") == months


def test_a_month_without_the_day_has_no_tick() -> None:
    assert ticking_months("cron(0 2 31 JAN,FEB,MAR ? *)") == {1, 3}
    assert ticking_months("cron(0 2 1,31 JAN,FEB ? *)") == {1, 2}
    assert ticking_months("cron(0 2 L FEB ? *)") == {2}


def test_the_seeds_schedule_takes_ten_months_again() -> None:
    assert trailing_months(SEED) == 10


FIELDS = ["MAR,APR,MAY,JUN", "*", "1", "1/6", "JAN-MAR/2", "6,7", "2,12"]


@pytest.mark.parametrize("field", FIELDS)
def test_the_ticks_of_any_twelve_months_cover_all_twelve(field: str) -> None:
    expression = f"cron(0 2 1,15 {field} ? *)"
    for first in (Month(2024, number) for number in range(1, 13)):
        ticks = [
            month for month in (first.plus(later) for later in range(12)) if month.number in ticking_months(expression)
        ]
        reached = {month.number for tick in ticks for month in covered(tick, trailing_months(expression))}
        assert reached == set(range(1, 13)), first


@pytest.mark.parametrize("field", FIELDS)
def test_every_month_is_ingested_again_after_its_end(field: str) -> None:
    expression = f"cron(0 2 1,15 {field} ? *)"
    months = [Month(2024, 1).plus(later) for later in range(48)]
    ticks = [month for month in months if month.number in ticking_months(expression)]
    for month in months[12:36]:
        assert any(month < tick and month in covered(tick, trailing_months(expression)) for tick in ticks), month


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 2 1 * *", "not of the form"),
        ("cron(0 2 1 MAR)", "not of the form"),
        ("rate(1 day)", "not of the form"),
        ("cron(0 2 1,15 MAR,APRIL,MAY,JUNE ? *)", r"'APRIL' is not a month: .*did you mean APR"),
        ("cron(0 2 1 13 ? *)", "'13' is not a month"),
        ("cron(0 2 1 0 ? *)", "'0' is not a month"),
        ("cron(0 2 1 NOV-FEB ? *)", "run backwards"),
        ("cron(0 2 1 1/0 ? *)", "'0' is not a number of months"),
        ("cron(0 2 1 1/2/3 ? *)", "'1/2/3' is not a month"),
        ("cron(0 2 1 MAR * *)", "exactly one of day-of-month and day-of-week"),
        ("cron(0 2 ? MAR ? *)", "exactly one of day-of-month and day-of-week"),
        ("cron(0 2 30 FEB ? *)", "does not fire every year"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_fault(expression: str, message: str) -> None:
    with pytest.raises(CronError, match=message):
        trailing_months(expression)
