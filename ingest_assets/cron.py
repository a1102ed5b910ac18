"""The schedule's expression, as far as its months go.

EventBridge Scheduler's cron is described at
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import re

from spark_scripts.errors import InvalidInputError

_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # what every year's month has
_ITEM = re.compile(r"(?P<first>\*|[^-/]+)(?:-(?P<last>[^-/]+))?(?:/(?P<step>[^-/]+))?")


class CronError(InvalidInputError):
    """The expression is none that EventBridge Scheduler takes."""


def trailing_months(expression: str) -> int:
    """How many months before its own a tick ingests, so that the ticks of any 12 months cover all 12.

    It is the longest way from one month with a tick to the next, and one month more: the last tick before a rest
    sees its own month unfinished, and the month before it may still get late rows. For
    `cron(0 2 1,15 MAR,APR,MAY,JUN ? *)`, which rests from June 15 to March 1, that is 10.
    """
    months = sorted(ticking_months(expression))
    following = [*months[1:], months[0] + 12]
    return max(later - earlier for earlier, later in zip(months, following, strict=True)) + 1


def ticking_months(expression: str) -> set[int]:
    """The months, 1 to 12, in which `expression` fires every year. Raises CronError naming what is wrong."""
    match = re.fullmatch(r"\s*cron\((.*)\)\s*", expression)
    fields = match[1].split() if match else []
    if len(fields) not in (5, 6):
        raise CronError(f"{expression!r} is not of the form cron(minutes hours day-of-month month day-of-week year)")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise CronError(f"{expression!r}: exactly one of day-of-month and day-of-week must be '?'")
    months = {month for item in fields[3].split(",") for month in _months(item, expression)}
    months = {month for month in months if _earliest_day(fields[2]) <= _DAYS[month - 1]}
    if not months:
        raise CronError(f"{expression!r} does not fire every year")
    return months


def _months(item: str, expression: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise CronError(f"{expression!r}: {item!r} is not a month: write JAN to DEC or 1 to 12")
    every = match["first"] == "*"
    first = 1 if every else _month(match["first"], expression)
    last = _month(match["last"], expression) if match["last"] else 12 if every or match["step"] else first
    if last < first:
        raise CronError(f"{expression!r}: the months {item} run backwards: write them as a list")
    step = match["step"] or "1"
    if not (step.isascii() and step.isdigit() and int(step)):
        raise CronError(f"{expression!r}: {step!r} is not a number of months")
    return range(first, last + 1, int(step))


def _month(text: str, expression: str) -> int:
    if text.upper() in _NAMES:
        return _NAMES.index(text.upper()) + 1
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 12:
        return int(text)
    abbreviation = text[:3].upper()
    hint = f" (did you mean {abbreviation}?)" if abbreviation in _NAMES else ""
    raise CronError(f"{expression!r}: {text!r} is not a month: write JAN to DEC or 1 to 12{hint}")


def _earliest_day(field: str) -> int:
    """The earliest of the listed days; 1 where the field holds more than numbers, ranges and steps of them."""
    days = [re.match(r"\d+(?=[-/]|$)", item) for item in field.split(",")]
    return min(int(day[0]) if day else 1 for day in days)
