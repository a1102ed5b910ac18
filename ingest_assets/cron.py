"""When the schedule starts an ingestion, in EventBridge's words and in Dagster's.

The expression is defined here, for the CloudFormation template and for Dagster. EventBridge Scheduler's cron is
described at https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from spark_scripts.errors import InvalidInputError

SCHEDULE_EXPRESSION = "cron(0 2 1,15 MAR,APR,MAY,JUN ? *)"
"""When the schedule ticks, as EventBridge Scheduler writes it."""

SCHEDULE_TIMEZONE = "America/Chicago"
"""The IANA time zone of SCHEDULE_EXPRESSION."""

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # what every year's month has
_LONGEST = (31, 29, *_DAYS[2:])

_ITEM = re.compile(r"(?:\*|(?P<first>[^-/*]+)(?:-(?P<last>[^-/*]+))?)(?:/(?P<step>[^-/]+))?")
# L, L-3, LW, 15W, 6L, FRIL, 3#2: days that are counted from the month's end, its workdays or its weeks
_COUNTED = re.compile(r"L(?:-\d+)?|\w+[LW]|\w+#\w+", re.IGNORECASE)


class CronError(InvalidInputError):
    """The expression is none that EventBridge Scheduler takes, or none that Dagster can be told."""


@dataclass(frozen=True)
class _Field:
    """One field of an expression: the numbers `low` to `high`, or their `names`."""

    one: str
    many: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def read(self, text: str, expression: str) -> set[int]:
        """The numbers that the field lists. Raises CronError naming the item that is wrong."""
        return {number for item in text.split(",") for number in self._item(item, expression)}

    def _item(self, item: str, expression: str) -> range:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise CronError(f"{expression!r}: {item!r} is not {self.one}: write {self._hint()}")
        first = self._number(match["first"], expression) if match["first"] else self.low
        last = first if match["first"] and not match["step"] else self.high
        if match["last"]:
            last = self._number(match["last"], expression)
        if last < first:
            raise CronError(f"{expression!r}: the {self.many} {item} run backwards: write them as a list")
        step = match["step"] or "1"
        if not (step.isascii() and step.isdigit() and 1 <= int(step) <= self.high):
            raise CronError(f"{expression!r}: {step!r} is not a number of {self.many}: write 1 to {self.high}")
        return range(first, last + 1, int(step))

    def _number(self, text: str, expression: str) -> int:
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.low
        if text.isascii() and text.isdigit() and self.low <= int(text) <= self.high:
            return int(text)
        abbreviation = text[:3].upper()
        hint = f" (did you mean {abbreviation}?)" if abbreviation in self.names else ""
        raise CronError(f"{expression!r}: {text!r} is not {self.one}: write {self._hint()}{hint}")

    def _hint(self) -> str:
        named = f"{self.names[0]} to {self.names[-1]} or " if self.names else ""
        return f"{named}{self.low} to {self.high}"


_MINUTE = _Field("a minute", "minutes", 0, 59)
_HOUR = _Field("an hour", "hours", 0, 23)
_DAY = _Field("a day of the month", "days", 1, 31)
_MONTH = _Field(
    "a month", "months", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
)
_WEEKDAY = _Field("a day of the week", "days", 1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))


def cron_schedule(expression: str) -> str:
    """The five fields with which Dagster's clock shows the same times as `expression`.

    Every field is `*` or a list of numbers, so that nothing is left to how a reader of cron takes ranges and steps;
    Sunday is 0 instead of EventBridge's 1. Raises CronError for what is no expression of EventBridge, never fires,
    or cannot be said in five fields: L, W, # and years. `fires` says what differs when clocks are changed.
    """
    minutes, hours, days, months, weekdays = _read(expression)
    return " ".join(
        [
            _listed(_MINUTE, minutes),
            _listed(_HOUR, hours),
            _listed(_DAY, days),
            _listed(_MONTH, months),
            _listed(_WEEKDAY, weekdays, shift=-1),
        ]
    )


def fires(expression: str, moment: datetime) -> bool:
    """Whether EventBridge fires at `moment`, a time of the schedule's zone. Raises CronError as cron_schedule does.

    Dagster ticks at the same times except when clocks are changed. A time that the clock leaps over is skipped by
    EventBridge, and made up for at the end of the gap by Dagster. A time that the clock shows twice fires once in
    EventBridge, and twice in Dagster where the expression has every hour; here the second one counts, which is
    the one that Dagster takes for all other expressions.
    """
    shown = (moment.minute, moment.hour, moment.day, moment.month, moment.isoweekday() % 7 + 1)
    if any(number not in numbers for number, numbers in zip(shown, _read(expression), strict=True)):
        return False
    return moment.utcoffset() == moment.replace(fold=1).utcoffset()


def freshness_deadline(expression: str) -> str:
    """Dagster's cron for the end of each day on which `expression` fires. Raises CronError as cron_schedule does."""
    _, _, days = cron_schedule(expression).split(" ", 2)
    return f"59 23 {days}"


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
    fields = _fields(expression)
    earliest = _earliest_day(fields[2], expression)
    months = {month for month in _MONTH.read(fields[3], expression) if earliest <= _DAYS[month - 1]}
    if not months:
        raise CronError(f"{expression!r} does not fire every year")
    return months


def _fields(expression: str) -> list[str]:
    """The texts of the six fields; the year is `*` where it is left out."""
    match = re.fullmatch(r"\s*cron\((.*)\)\s*", expression)
    fields = match[1].split() if match else []
    if len(fields) not in (5, 6):
        raise CronError(f"{expression!r} is not of the form cron(minutes hours day-of-month month day-of-week year)")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise CronError(f"{expression!r}: exactly one of day-of-month and day-of-week must be '?'")
    return [*fields, "*"][:6]


def _read(expression: str) -> tuple[set[int], set[int], set[int], set[int], set[int]]:
    """Minutes, hours, days, months and days of the week (1 is Sunday) of an expression that Dagster can be told."""
    minute, hour, day, month, weekday, year = _fields(expression)
    for item in f"{day},{weekday}".split(","):
        if _COUNTED.fullmatch(item):
            raise CronError(f"{expression!r}: Dagster's cron has no {item!r}: write the days as numbers or names")
    if year != "*":
        raise CronError(f"{expression!r}: Dagster's cron has no years: write * instead of {year!r}")
    days = _DAY.read("*" if day == "?" else day, expression)
    months = _MONTH.read(month, expression)
    if min(days) > max(_LONGEST[number - 1] for number in months):
        raise CronError(f"{expression!r} never fires: no month of these has such a day")
    return (
        _MINUTE.read(minute, expression),
        _HOUR.read(hour, expression),
        days,
        months,
        _WEEKDAY.read("*" if weekday == "?" else weekday, expression),
    )


def _listed(field: _Field, numbers: set[int], *, shift: int = 0) -> str:
    if len(numbers) == field.high - field.low + 1:
        return "*"
    return ",".join(str(number + shift) for number in sorted(numbers))


def _earliest_day(field: str, expression: str) -> int:
    """The earliest of the listed days; 1 where the field holds more than numbers, ranges and steps of them."""
    if field == "?" or any(_COUNTED.fullmatch(item) for item in field.split(",")):
        return 1
    return min(_DAY.read(field, expression))
