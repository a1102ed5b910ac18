"""When the schedule starts an ingestion: EventBridge's expression, and the cron that Dagster gets for it.

The expression is defined here, for the CloudFormation template and for Dagster. EventBridge Scheduler's cron is
described at https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html

Dagster's cron has five fields and cannot express L, W, # and years. Dagster therefore gets a cron that ticks at every
time of the expression and at some others, and `fires` decides which ticks EventBridge has too.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from spark_scripts.contract.errors import InvalidInputError

SCHEDULE_EXPRESSION = "cron(0 2 1,15 MAR,APR,MAY,JUN ? *)"
"""When the schedule ticks, as EventBridge Scheduler writes it."""

SCHEDULE_TIMEZONE = "America/Chicago"
"""The IANA time zone of SCHEDULE_EXPRESSION."""

SCHEDULE_INPUT = {"refresh": True}
"""The input of the executions that the schedule starts: of every table the months that have changed."""

_CALENDAR = range(2024, 2052)
"""28 years hold every combination of leap year and first weekday, as often as they occur."""

_ITEM = re.compile(r"(?:\*|(?P<first>[^-/*]+)(?:-(?P<last>[^-/*]+))?)(?:/(?P<step>[^-/]+))?")
_KINDS = {
    "rate": "it counts from the moment when AWS created the schedule, which Dagster does not know",
    "at": "it fires only once, so that Dagster has nothing to mirror",
}


class CronError(InvalidInputError):
    """EventBridge Scheduler rejects the expression, or Dagster's cron cannot express it."""


@dataclass(frozen=True)
class _Field:
    """One field of an expression: the numbers `low` to `high`, or their `names`."""

    one: str
    many: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def read(self, text: str, expression: str) -> frozenset[int]:
        """The numbers that the field lists. Raises CronError, which names the wrong item."""
        return frozenset(number for item in text.split(",") for number in self.item(item, expression))

    def item(self, item: str, expression: str) -> range:
        """The numbers of one item of the list. Raises CronError, which names the item, when it is wrong."""
        match = _ITEM.fullmatch(item)
        if match is None:
            raise CronError(f"{expression!r}: {item!r} is not {self.one}: write {self._hint()}")
        first = self.number(match["first"], expression) if match["first"] else self.low
        last = first if match["first"] and not match["step"] else self.high
        if match["last"]:
            last = self.number(match["last"], expression)
        if last < first:  # AWS documents no range that wraps around to the beginning of the field
            raise CronError(f"{expression!r}: the {self.many} {item} run backwards: write them as a list")
        step = match["step"] or "1"
        if not (step.isascii() and step.isdigit() and 1 <= int(step) <= self.high):
            raise CronError(f"{expression!r}: {step!r} is not a number of {self.many}: write 1 to {self.high}")
        return range(first, last + 1, int(step))

    def number(self, text: str, expression: str) -> int:
        """The number that `text` stands for. Raises CronError, which names the text, when it is wrong."""
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
_YEAR = _Field("a year", "years", 1970, 2199)
_WEEK = _Field("a week of the month", "weeks", 1, 5)
_BEFORE = _Field("a number of days before the last", "days", 0, 30)

# An item of a day field as a function: from the last day of a month to the days that the item selects in it.
_Days = Callable[[date], Iterator[int]]


@dataclass(frozen=True)
class _Times:
    """The times that an expression names. `days` has one function for each item of the day field."""

    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int]
    days: tuple[_Days, ...]

    def in_month(self, year: int, month: int) -> frozenset[int]:
        """The days of the month on which it fires; `years` is not considered."""
        if month not in self.months:
            return frozenset()
        last = date(year, month, monthrange(year, month)[1])
        return frozenset(day for days in self.days for day in days(last) if 1 <= day <= last.day)

    def calendar(self) -> list[date]:
        """The dates on which it fires in _CALENDAR."""
        months = [(year, month) for year in _CALENDAR for month in sorted(self.months)]
        return [date(year, month, day) for year, month in months for day in sorted(self.in_month(year, month))]


def cron_schedule(expression: str) -> str:
    """A cron of five fields with which Dagster ticks at every time of `expression`, and at few others.

    Every field is `*` or a list of numbers, because readers of cron disagree on ranges and steps; Sunday is 0 instead
    of EventBridge's 1. If the expression has L, W, # or years, the cron has more ticks, and `fires` decides. Raises
    CronError if EventBridge would reject the expression, and if it never fires.
    """
    times, dates = _times(expression), _dates(expression)
    by_weekday = _fields(expression)[2] == "?"
    days = set() if by_weekday else {day.day for day in dates}
    weekdays = {day.isoweekday() % 7 for day in dates} if by_weekday else set()
    return " ".join(
        [
            _listed(_MINUTE, times.minutes),
            _listed(_HOUR, times.hours),
            _listed(_DAY, days),
            _listed(_MONTH, {day.month for day in dates}),
            _listed(_WEEKDAY, weekdays),
        ]
    )


def fires(expression: str, moment: datetime) -> bool:
    """Whether EventBridge fires at `moment`, a time in the schedule's zone. Raises CronError as cron_schedule does.

    When the clock is put forward, EventBridge skips the times in the gap, and Dagster ticks at its end. When the clock
    is put back, EventBridge fires once at a time that occurs twice; Dagster ticks twice if the expression has every
    hour, else at the second occurrence. This function accepts the second occurrence only.
    """
    times = _times(expression)
    if moment.minute not in times.minutes or moment.hour not in times.hours or not _fires_on(times, moment.date()):
        return False
    return moment.utcoffset() == moment.replace(fold=1).utcoffset()


def last_tick_before(expression: str, day: date) -> datetime | None:
    """The last time before `day` at which `expression` fires, in its own zone; None if it is over 28 years ago."""
    times = _times(expression)
    earlier = (day - timedelta(days=count) for count in range(1, len(_CALENDAR) * 366))
    last = next((one for one in earlier if _fires_on(times, one)), None)
    return datetime.combine(last, time(max(times.hours), max(times.minutes))) if last else None


def same_times(one: str, other: str) -> bool:
    """Whether two expressions fire at the same times; False if Dagster cannot express one of them."""
    try:
        left, right = _times(one), _times(other)
        return (left.minutes, left.hours, left.years, _dates(one)) == (
            right.minutes,
            right.hours,
            right.years,
            _dates(other),
        )
    except CronError:
        return False


def _fields(expression: str) -> list[str]:
    """The texts of the six fields; a missing year is `*`."""
    match = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", expression)
    if match and match[1] in _KINDS:
        raise CronError(f"{expression!r} cannot be mirrored in Dagster: {_KINDS[match[1]]}. Write it as cron(…)")
    fields = match[2].split() if match and match[1] == "cron" else []
    if len(fields) not in (5, 6):
        raise CronError(f"{expression!r} is not of the form cron(minutes hours day-of-month month day-of-week year)")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise CronError(f"{expression!r}: exactly one of day-of-month and day-of-week must be '?'")
    return [*fields, "*"][:6]


@lru_cache
def _times(expression: str) -> _Times:
    minute, hour, day, month, weekday, year = _fields(expression)
    if "#" in weekday and "," in weekday:
        raise CronError(f"{expression!r}: EventBridge accepts no list of days of the week with '#': write a single day")
    read, field = (_weekday_item, weekday) if day == "?" else (_day_item, day)
    return _Times(
        _MINUTE.read(minute, expression),
        _HOUR.read(hour, expression),
        _MONTH.read(month, expression),
        _YEAR.read(year, expression),
        tuple(read(item, expression) for item in field.split(",")),
    )


@lru_cache
def _dates(expression: str) -> tuple[date, ...]:
    """The dates of _CALENDAR on which it fires. Raises CronError if it never fires."""
    dates = tuple(_times(expression).calendar())
    if not dates:
        raise CronError(f"{expression!r} never fires: none of its months has such a day")
    return dates


def _fires_on(times: _Times, day: date) -> bool:
    return day.year in times.years and day.day in times.in_month(day.year, day.month)


def _day_item(item: str, expression: str) -> _Days:
    """Read an item of day-of-month: L is the last day, L-3 the third day before it, 15W the workday nearest to 15."""
    if item.upper() == "LW":
        return lambda last: iter([_workday(last)])
    if item.upper() == "L" or item.upper().startswith("L-"):
        before = _BEFORE.number(item[2:] or "0", expression)
        return lambda last: iter([last.day - before])
    if item.upper().endswith("W"):
        near = _DAY.number(item[:-1], expression)
        return lambda last: iter([_workday(last.replace(day=near))] if near <= last.day else [])
    days = _DAY.item(item, expression)
    return lambda _: iter(days)


def _weekday_item(item: str, expression: str) -> _Days:
    """Read an item of day-of-week: L is Saturday, 6L the last Friday, 3#2 the second Tuesday."""
    if item.upper() == "L":
        return lambda last: _on(last, {_WEEKDAY.high})
    if "#" in item:
        name, _, count = item.partition("#")
        weekday, week = _WEEKDAY.number(name, expression), _WEEK.number(count, expression)
        return lambda last: (day for day in _on(last, {weekday}) if (day + 6) // 7 == week)
    if item.upper().endswith("L"):
        weekday = _WEEKDAY.number(item[:-1], expression)
        return lambda last: (day for day in _on(last, {weekday}) if day > last.day - 7)
    weekdays = set(_WEEKDAY.item(item, expression))
    return lambda last: _on(last, weekdays)


def _on(last: date, weekdays: set[int]) -> Iterator[int]:
    """The days of the month of `last`, its last day, that fall on these days of the week."""
    days = range(1, last.day + 1)
    return (day for day in days if last.replace(day=day).isoweekday() % 7 + 1 in weekdays)


def _workday(day: date) -> int:
    """The workday nearest to `day` in the same month."""
    nearest = {6: -1 if day.day > 1 else 2, 7: 1 if (day + timedelta(days=1)).month == day.month else -2}
    return day.day + nearest.get(day.isoweekday(), 0)


def _listed(field: _Field, numbers: set[int] | frozenset[int]) -> str:
    if len(numbers) in (0, field.high - field.low + 1):
        return "*"
    return ",".join(str(number) for number in sorted(numbers))
