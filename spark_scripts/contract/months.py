"""Months: the partitions of the raw layer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spark_scripts.contract.errors import InvalidInputError

_EPOCH = date(1970, 1, 1).toordinal() - 1
_DAYS_IN_400_YEARS = 146_097
_FORM = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month. `str()` gives `2024-02`, the partition key in Dagster and in the execution's input."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: object) -> Month:
        """The month that `text` (such as `2024-02`) names.

        Raises InvalidInputError for anything else, years before 0001 included.
        """
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1] == "0000":
            raise InvalidInputError(f"{text!r} is not a month: write year and month as in '2024-02'")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_label(cls, label: str) -> Month:
        """The month whose `str()` is `label`, also one that no input may name (year 12024, or 44 BC as `-044`)."""
        return cls(int(label[:-3]), int(label[-2:]))

    @classmethod
    def of_epoch_day(cls, day: int) -> Month:
        """The month that holds the `day`-th day after 1970-01-01, also one that Python's dates do not reach.

        The year before 1 is -1, as PostgreSQL's extract() tells it.
        """
        cycles, rest = divmod(day + _EPOCH, _DAYS_IN_400_YEARS)  # after which the Gregorian calendar repeats
        found = date.fromordinal(rest + 1)
        year = found.year + 400 * cycles
        return cls(year if year > 0 else year - 1, found.month)

    @classmethod
    def of(cls, day: date) -> Month:
        """The month that holds `day` (a date, or a datetime in its own zone)."""
        return cls(day.year, day.month)

    @classmethod
    def current(cls, timezone: str, now: datetime) -> Month:
        """The month of the instant `now` (timezone-aware) in the IANA zone `timezone`.

        Raises InvalidInputError where this machine's tzdata is older than the zone, or missing.
        """
        try:
            zone = ZoneInfo(timezone)
        except ZoneInfoNotFoundError as error:
            raise InvalidInputError(
                f"the tzdata of this machine's Python has no time zone {timezone}: set `timezone` in tables.yaml to an"
                " older name of it"
            ) from error
        return cls.of(now.astimezone(zone))

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    def plus(self, months: int) -> Month:
        """The month that many months later (earlier when negative)."""
        index = self.year * 12 + self.number - 1 + months
        return Month(index // 12, index % 12 + 1)

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.number, 1)


def trailing_months(last: Month, count: int) -> list[Month]:
    """`last` and the `count` months before it, oldest first."""
    return [last.plus(-back) for back in range(count, -1, -1)]
