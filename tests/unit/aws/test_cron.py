from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from ingest_assets.cron import (
    SCHEDULE_EXPRESSION,
    CronError,
    cron_schedule,
    freshness_deadline,
    ticking_months,
    trailing_months,
)
from spark_scripts.months import Month
from spark_scripts.months import trailing_months as covered

SEED = "cron(0 2 1,15 MAR,APR,MAY,JUN ? *)"

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
FIRST, LAST = datetime(2023, 1, 1), datetime(2032, 1, 1)  # with two leap years


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
        ("cron(0 2 1 *-6 ? *)", "'\\*-6' is not a month"),
        ("cron(0 2 1 1/13 ? *)", "'13' is not a number of months"),
        ("cron(0 2 1 MAR * *)", "exactly one of day-of-month and day-of-week"),
        ("cron(0 2 ? MAR ? *)", "exactly one of day-of-month and day-of-week"),
        ("cron(0 2 30 FEB ? *)", "does not fire every year"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_fault(expression: str, message: str) -> None:
    with pytest.raises(CronError, match=message):
        trailing_months(expression)


def holds(field: str, number: int, names: Sequence[str] = (), lowest: int = 0) -> bool:
    """Whether EventBridge takes the number for one of the field's, worked out item by item."""

    def read(text: str) -> int:
        return names.index(text) + lowest if text in names else int(text)

    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        low = lowest if first in ("*", "?") else read(first)
        high = read(last) if last else low if span not in ("*", "?") and not step else 99
        if low <= number <= high and (number - low) % int(step or 1) == 0:
            return True
    return False


def eventbridge(expression: str) -> Iterator[datetime]:
    """When the expression fires between FIRST and LAST, minute by minute of the days that it names."""
    minute, hour, day, month, weekday = expression[5:-1].split()[:5]
    times = [
        timedelta(hours=at // 60, minutes=at % 60)
        for at in range(24 * 60)
        if holds(hour, at // 60) and holds(minute, at % 60)
    ]
    for date in (FIRST + timedelta(days=count) for count in range((LAST - FIRST).days)):
        if (
            holds(day, date.day, lowest=1)
            and holds(month, date.month, MONTHS, 1)
            and holds(weekday, date.isoweekday() % 7 + 1, WEEKDAYS, 1)
        ):
            yield from (date + time for time in times)


def dagster(cron: str) -> Iterator[datetime]:
    """When Dagster ticks between FIRST and LAST."""
    ticks = schedule_execution_time_iterator(FIRST.replace(tzinfo=UTC).timestamp(), cron, "UTC")
    return takewhile(lambda tick: tick < LAST, (tick.replace(tzinfo=None) for tick in ticks))


def some_field(choose: random.Random, low: int, high: int, names: Sequence[str] = ()) -> str:
    """A field in any of the forms that EventBridge takes."""

    def say(number: int) -> str:
        return choose.choice([str(number), names[number - low]]) if names else str(number)

    def item() -> str:
        first, last = sorted(choose.choices(range(low, high + 1), k=2))
        step = choose.randint(1, high)
        forms = [say(first), f"{say(first)}-{say(last)}", f"{say(first)}/{step}", f"{say(first)}-{say(last)}/{step}"]
        return choose.choice([*forms, f"*/{step}"])

    return choose.choice(["*", ",".join(item() for _ in range(choose.randint(1, 3)))])


def some_expressions(seed: int, count: int) -> Iterator[str]:
    choose = random.Random(seed)  # noqa: S311 (no secret)
    for _ in range(count):
        day, weekday = some_field(choose, 1, 31), some_field(choose, 1, 7, WEEKDAYS)
        day, weekday = choose.choice([(day, "?"), ("?", weekday)])
        minute, hour, month = some_field(choose, 0, 59), some_field(choose, 0, 23), some_field(choose, 1, 12, MONTHS)
        yield f"cron({minute} {hour} {day} {month} {weekday}{choose.choice(['', ' *'])})"


@pytest.mark.parametrize(
    ("expression", "cron"),
    [
        (SEED, "0 2 1,15 3,4,5,6 *"),
        ("cron(0 2 1,15 3-6 ?)", "0 2 1,15 3,4,5,6 *"),
        ("cron(0 10 * * ? *)", "0 10 * * *"),
        ("cron(0 10 ? * * *)", "0 10 * * *"),
        ("cron(0 18 ? * MON-FRI *)", "0 18 * * 1,2,3,4,5"),
        ("cron(0 18 ? * 1 *)", "0 18 * * 0"),
        ("cron(0 18 ? * 7,sun *)", "0 18 * * 0,6"),
        ("cron(0/15 * * * ? *)", "0,15,30,45 * * * *"),
        ("cron(0 0 1/10 * ? *)", "0 0 1,11,21,31 * *"),
        ("cron(0-59 */8 1-31 1/1 ? *)", "* 0,8,16 * * *"),
        ("cron(0 2 29 FEB ? *)", "0 2 29 2 *"),
    ],
)
def test_an_expression_is_translated_field_by_field(expression: str, cron: str) -> None:
    assert cron_schedule(expression) == cron


LEAP_DAYS = ["cron(0 2 29 FEB ? *)", "cron(0 2 29-31 FEB ? *)", "cron(0,30 2 29 2 ? *)"]


@pytest.mark.parametrize("seed", range(10))
def test_dagster_ticks_when_eventbridge_fires(seed: int) -> None:
    for expression in [*some_expressions(seed, 20), SEED, *LEAP_DAYS]:
        expected = list(islice(eventbridge(expression), 100))
        if expected:
            assert list(islice(dagster(cron_schedule(expression)), 100)) == expected, expression
        else:
            with pytest.raises(CronError, match="never fires"):
                cron_schedule(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("cron(0 2 L * ? *)", "Dagster's cron has no 'L': write the days as numbers or names"),
        ("cron(0 2 L-3 * ? *)", "no 'L-3'"),
        ("cron(0 2 LW * ? *)", "no 'LW'"),
        ("cron(0 2 1,15W * ? *)", "no '15W'"),
        ("cron(0 2 ? * 6L *)", "no '6L'"),
        ("cron(0 2 ? * FRIL *)", "no 'FRIL'"),
        ("cron(0 2 ? * 3#2 *)", "no '3#2'"),
        ("cron(0 2 1 * ? 2026)", "no years: write \\* instead of '2026'"),
        ("cron(0 2 1 * ? 2026-2028)", "no years"),
        ("cron(0 2 1 * 2 *)", "exactly one of day-of-month and day-of-week"),
        ("cron(0 2 1,15 MAR,APRIL ? *)", "did you mean APR"),
        ("cron(0 2 ? * MONDAY *)", "'MONDAY' is not a day of the week: write SUN to SAT or 1 to 7 .did you mean MON"),
        ("cron(0 2 ? * 0 *)", "'0' is not a day of the week"),
        ("cron(0 2 ? * 8 *)", "'8' is not a day of the week"),
        ("cron(0 2 ? * FRI-MON *)", "the days FRI-MON run backwards: write them as a list"),
        ("cron(60 2 1 * ? *)", "'60' is not a minute: write 0 to 59"),
        ("cron(0 24 1 * ? *)", "'24' is not an hour"),
        ("cron(0 ? 1 * ? *)", "'\\?' is not an hour"),
        ("cron(0 MON 1 * ? *)", "'MON' is not an hour"),
        ("cron(0 5-3 1 * ? *)", "the hours 5-3 run backwards"),
        ("cron(0 2 0 * ? *)", "'0' is not a day of the month"),
        ("cron(0 2 32 * ? *)", "'32' is not a day of the month"),
        ("cron(0/0 2 1 * ? *)", "'0' is not a number of minutes"),
        ("cron(0 2 1,,2 * ? *)", "'' is not a day of the month"),
        ("cron(0 2 30,31 FEB ? *)", "never fires"),
        ("rate(1 day)", "not of the form"),
        ("0 2 1 * *", "not of the form"),
    ],
)
def test_what_dagster_cannot_be_told_is_refused(expression: str, message: str) -> None:
    with pytest.raises(CronError, match=message):
        cron_schedule(expression)


def test_what_has_been_scheduled_is_due_at_the_end_of_its_day() -> None:
    assert freshness_deadline(SEED) == "59 23 1,15 3,4,5,6 *"
    assert freshness_deadline("cron(0/15 * ? * MON *)") == "59 23 * * 1"


def test_the_projects_own_schedule_is_that_of_the_seed() -> None:
    assert SCHEDULE_EXPRESSION == SEED
