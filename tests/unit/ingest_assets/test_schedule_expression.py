from __future__ import annotations

import random
import re
from calendar import SUNDAY, Calendar, monthrange
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, takewhile

import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from pyawscron import AWSCron

from ingest_assets.aws.schedule_expression import (
    SCHEDULE_EXPRESSION,
    CronError,
    cron_schedule,
    fires,
    last_tick_before,
    same_times,
)

SEED = "cron(0 2 1,15 MAR,APR,MAY,JUN ? *)"

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIRST, LAST = datetime(2023, 1, 1), datetime(2032, 1, 1)  # with two leap years


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 2 1 * *", "not of the form"),
        ("cron(0 2 1 MAR)", "not of the form"),
        ("every(1 day)", "not of the form"),
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
        ("cron(0 2 30 FEB ? *)", "never fires"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_fault(expression: str, message: str) -> None:
    with pytest.raises(CronError, match=message):
        cron_schedule(expression)


@cache
def holds(field: str, number: int, names: tuple[str, ...] = (), lowest: int = 0) -> bool:
    """Whether EventBridge takes the number for one of the field's, worked out item by item."""

    def read(text: str) -> int:
        return names.index(text) + lowest if text in names else int(text)

    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        low = lowest if first in ("*", "?") else read(first)
        high = read(last) if last else low if span not in ("*", "?") and not step else 9999
        if low <= number <= high and (number - low) % int(step or 1) == 0:
            return True
    return False


def workday(near: date) -> date:
    """The day from Monday to Friday of the month that is nearest."""
    days = [near + timedelta(days=count) for count in (0, -1, 1, -2, 2)]
    return next(day for day in days if day.weekday() < 5 and day.month == near.month)


def on_day(field: str, day: date) -> bool:
    """Whether the field day-of-month takes the day."""
    last = date(day.year, day.month, monthrange(day.year, day.month)[1])
    for item in field.split(","):
        if item == "L" and day == last:
            return True
        if item.startswith("L-") and day == last - timedelta(days=int(item[2:])):
            return True
        if item == "LW" and day == workday(last):
            return True
        if item[0] != "L" and item.endswith("W") and int(item[:-1]) <= last.day:
            if day == workday(day.replace(day=int(item[:-1]))):
                return True
        elif "L" not in item and "W" not in item and holds(item, day.day, lowest=1):
            return True
    return False


def on_weekday(field: str, day: date) -> bool:
    """Whether the field day-of-week takes the day."""
    weeks = [week[(day.weekday() + 1) % 7] for week in Calendar(SUNDAY).monthdayscalendar(day.year, day.month)]
    same = [one for one in weeks if one]  # the days of the month on the same day of the week

    def named(text: str) -> bool:
        return holds(text, day.isoweekday() % 7 + 1, WEEKDAYS, 1)

    for item in field.split(","):
        if item == "L":
            found = named("SAT")
        elif "#" in item:
            which, _, count = item.partition("#")
            found = named(which) and same.index(day.day) + 1 == int(count)
        elif item.endswith("L"):
            found = named(item[:-1]) and same[-1] == day.day
        else:
            found = named(item)
        if found:
            return True
    return False


def eventbridge(expression: str) -> Iterator[datetime]:
    """When the expression fires between FIRST and LAST, minute by minute of the days that it names."""
    minute, hour, day, month, weekday, year = [*expression[5:-1].split(), "*"][:6]
    times = [
        timedelta(hours=at // 60, minutes=at % 60)
        for at in range(24 * 60)
        if holds(hour, at // 60) and holds(minute, at % 60)
    ]
    for at in (FIRST + timedelta(days=count) for count in range((LAST - FIRST).days)):
        if (
            holds(month, at.month, MONTHS, 1)
            and holds(year, at.year, lowest=1970)
            and (on_weekday(weekday, at.date()) if day == "?" else on_day(day, at.date()))
        ):
            yield from (at + time for time in times)


def dagster(expression: str) -> Iterator[datetime]:
    """When Dagster ticks between FIRST and LAST and does not skip."""
    ticks = schedule_execution_time_iterator(FIRST.replace(tzinfo=UTC).timestamp(), cron_schedule(expression), "UTC")
    shown = (tick.replace(tzinfo=None) for tick in ticks)
    return (tick for tick in takewhile(lambda tick: tick < LAST, shown) if fires(expression, tick))


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


def some_days(choose: random.Random) -> str:
    """A field day-of-month that counts from the month's end or by its workdays."""
    forms = ["L", "LW", f"L-{choose.randint(0, 30)}", f"{choose.randint(1, 31)}W"]
    return ",".join([choose.choice(forms), *choose.choice([[], [str(choose.randint(1, 31))], [choose.choice(forms)]])])


def some_weekday(choose: random.Random) -> str:
    """A field day-of-week that counts the weeks of the month."""
    day = choose.choice([str(choose.randint(1, 7)), choose.choice(WEEKDAYS)])
    return choose.choice(["L", f"{day}L", f"{day}#{choose.randint(1, 5)}", f"{day}L,{choose.choice(WEEKDAYS)}"])


def some_expressions(seed: int, count: int) -> Iterator[str]:
    choose = random.Random(seed)  # noqa: S311 (no secret)
    for _ in range(count):
        day, weekday = some_field(choose, 1, 31), some_field(choose, 1, 7, WEEKDAYS)
        day, weekday = choose.choice([day, some_days(choose)]), choose.choice([weekday, some_weekday(choose)])
        day, weekday = choose.choice([(day, "?"), ("?", weekday)])
        month, year = some_field(choose, 1, 12, MONTHS), choose.choice(["", " *", " 2024-2030/2", " 2023,2028"])
        minute, hour = str(choose.randint(0, 59)), str(choose.randint(0, 23))
        if not year.strip(" *") and not re.search("[LW]", day) and not re.search("[L#]", weekday):
            # else Dagster has many ticks that are skipped
            minute, hour = some_field(choose, 0, 59), some_field(choose, 0, 23)
        yield f"cron({minute} {hour} {day} {month} {weekday}{year})"


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
        ("cron(0 2 L * ? *)", "0 2 28,29,30,31 * *"),
        ("cron(0 2 L-3 FEB ? *)", "0 2 25,26 2 *"),
        ("cron(0 2 LW * ? *)", "0 2 26,27,28,29,30,31 * *"),
        ("cron(0 2 1,15W * ? *)", "0 2 1,14,15,16 * *"),
        ("cron(0 2 ? * FRIL *)", "0 2 * * 5"),
        ("cron(0 2 ? * 3#2 *)", "0 2 * * 2"),
        ("cron(0 2 ? * L *)", "0 2 * * 6"),
        ("cron(0 2 1 * ? 2026-2028)", "0 2 1 * *"),
    ],
)
def test_an_expression_is_translated_field_by_field_into_one_that_holds_all_its_times(
    expression: str, cron: str
) -> None:
    assert cron_schedule(expression) == cron


LEAP_DAYS = ["cron(0 2 29 FEB ? *)", "cron(0 2 29-31 FEB ? *)", "cron(0,30 2 29 2 ? *)"]


@pytest.mark.parametrize("seed", range(10))
def test_dagster_ticks_when_eventbridge_fires(seed: int) -> None:
    for expression in [*some_expressions(seed, 20), SEED, *LEAP_DAYS]:
        expected = list(islice(eventbridge(expression), 100))
        if expected:
            assert list(islice(dagster(expression), 100)) == expected, expression
        else:
            assert never(expression), expression


def never(expression: str) -> bool:
    """Whether Dagster does not tick, because it takes no such expression or by its own account."""
    try:
        return not list(dagster(expression))
    except CronError as error:
        return "never fires" in str(error)


@pytest.mark.parametrize("seed", range(3))
def test_the_times_are_those_of_another_reader_of_eventbridges_cron(seed: int) -> None:
    """pyawscron reads lists of numbers, and of what is counted one item."""
    choose = random.Random(seed)  # noqa: S311 (no secret)
    days = ["L", "L-2", f"{choose.randint(1, 31)}W", "1,15", "*/7", "10-20/3"]
    weekdays = ["L", "6L", f"{choose.randint(1, 7)}#{choose.randint(1, 5)}", "MON-FRI", "1,4", "*"]
    fields = [(day, "?") for day in days] + [("?", weekday) for weekday in weekdays if weekday != "L"]
    for day, weekday in fields:
        expression = f"{choose.randint(0, 59)} {choose.randint(0, 23)} {day} {choose.choice(['*', '1/5'])} {weekday} *"
        at = FIRST.replace(tzinfo=UTC)
        for tick in islice(dagster(f"cron({expression})"), 60):
            at = AWSCron(expression).occurrence(at).next()
            assert tick == at.replace(tzinfo=None), expression


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("cron(0 2 L-31 * ? *)", "'31' is not a number of days before the last: write 0 to 30"),
        ("cron(0 2 32W * ? *)", "'32' is not a day of the month: write 1 to 31"),
        ("cron(0 2 ? * 3#6 *)", "'6' is not a week of the month: write 1 to 5"),
        ("cron(0 2 ? * 3#1,6#3 *)", "EventBridge accepts no list of days of the week with '#'"),
        ("cron(0 2 ? * MONDAYL *)", "did you mean MON"),
        ("cron(0 2 1 * ? 1969)", "'1969' is not a year: write 1970 to 2199"),
        ("cron(0 2 31W FEB ? *)", "never fires"),
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
        ("rate(1 day)", r"cannot be mirrored in Dagster: it counts from the moment .* Write it as cron"),
        ("at(2026-11-20T13:00:00)", "cannot be mirrored in Dagster: it fires only once"),
        ("0 2 1 * *", "not of the form"),
    ],
)
def test_an_expression_that_dagster_cannot_mirror_is_refused(expression: str, message: str) -> None:
    with pytest.raises(CronError, match=message):
        cron_schedule(expression)


@pytest.mark.parametrize(
    ("expression", "before", "last"),
    [
        (SEED, date(2026, 3, 16), datetime(2026, 3, 15, 2)),
        (SEED, date(2026, 3, 15), datetime(2026, 3, 1, 2)),
        (SEED, date(2026, 3, 1), datetime(2025, 6, 15, 2)),
        ("cron(10,20 */6 L * ? *)", date(2024, 3, 15), datetime(2024, 2, 29, 18, 20)),
        ("cron(0 2 ? * 3#2 *)", date(2026, 11, 10), datetime(2026, 10, 13, 2)),
        ("cron(0 2 1 * ? 2024)", date(2026, 1, 1), datetime(2024, 12, 1, 2)),
        ("cron(0 2 1 * ? 2030)", date(2026, 1, 1), None),
    ],
)
def test_the_last_tick_before_a_day_is_found(expression: str, before: date, last: datetime | None) -> None:
    assert last_tick_before(expression, before) == last


def test_two_expressions_are_compared_by_their_times() -> None:
    assert same_times(SEED, "cron(0 2 1-15/14 3-6 ?)")
    assert same_times("cron(0 2 ? * 3#1 *)", "cron(0 2 ? * TUE#1 *)")
    assert same_times("cron(0 2 31 1/2 ? *)", "cron(0 2 31 1,3,5,7 ? *)")  # September and November have none
    assert not same_times("cron(0 2 L * ? *)", "cron(0 2 28-31 * ? *)")
    assert not same_times("cron(0 2 1 * ? *)", "cron(0 2 1 * ? 2026-2199)")
    assert not same_times("rate(1 day)", SEED)


def test_the_projects_own_schedule_is_that_of_the_seed() -> None:
    assert SCHEDULE_EXPRESSION == SEED
