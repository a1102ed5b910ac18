"""The partitions of the raw layer: months, and the one partition of the rows without a month."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spark_scripts.contract.errors import InvalidInputError

PARTITION_COLUMNS = ("year", "month")
"""The columns that are in the folders' names and not in the files."""

_EPOCH = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS = 146_097  # the Gregorian calendar repeats after 400 years
_FORM = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


class Partition(ABC):
    """A month or `UNDATED`, under every name that it has: in manifests, in the bucket, in Spark, in Glue."""

    @property
    @abstractmethod
    def key(self) -> str:
        """`2024-02` or `undated`: the partition key in Dagster, in the execution's input, in manifests and staging."""

    @property
    @abstractmethod
    def folder_values(self) -> tuple[str, str]:
        """The values of PARTITION_COLUMNS in the folder's name."""

    @property
    @abstractmethod
    def glue_values(self) -> tuple[str, str]:
        """The values of PARTITION_COLUMNS in the Glue catalog."""

    @property
    @abstractmethod
    def epoch_day(self) -> int:
        """The first day of the month in days since 1970-01-01, which stands for the partition in Spark."""

    @property
    def folder(self) -> str:
        """The folder below the table's, such as `year=2024/month=2/`."""
        return "".join(f"{column}={value}/" for column, value in zip(PARTITION_COLUMNS, self.folder_values))

    @staticmethod
    def of_key(key: str) -> Partition:
        """The partition whose `key` this is; also a month that no input may name (year 12024, or 44 BC as `-044`)."""
        return UNDATED if key == UNDATED.key else Month(int(key[:-3]), int(key[-2:]))

    @staticmethod
    def of_epoch_day(day: int) -> Partition:
        """The partition that holds this day (see `epoch_day`); also a month that Python's dates do not reach."""
        if day == UNDATED.epoch_day:
            return UNDATED
        cycles, rest = divmod(day + _EPOCH - 1, _DAYS_IN_400_YEARS)
        found = date.fromordinal(rest + 1)
        year = found.year + 400 * cycles
        return Month(year if year > 0 else year - 1, found.month)


@dataclass(frozen=True, order=True)
class Month(Partition):
    """A calendar month. `str()` gives its key, such as `2024-02`. The year before 1 is -1, as extract() has it."""

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
        return self.key

    @property
    def key(self) -> str:
        """Such as `2024-02`."""
        return f"{self.year:04}-{self.number:02}"

    @property
    def folder_values(self) -> tuple[str, str]:
        """Such as 2024 and 2."""
        return str(self.year), str(self.number)  # not zero-padded, as Spark's partitionBy writes an integer

    @property
    def glue_values(self) -> tuple[str, str]:
        """The same as in the folder."""
        return self.folder_values

    @property
    def epoch_day(self) -> int:
        """Such as 19754, which is 2024-02-01."""
        cycles, year = divmod(self.year - 1 if self.year > 0 else self.year, 400)
        return date(year + 1, self.number, 1).toordinal() + cycles * _DAYS_IN_400_YEARS - _EPOCH

    def plus(self, months: int) -> Month:
        """The month that many months later (earlier when negative)."""
        index = self.year * 12 + self.number - 1 + months
        return Month(index // 12, index % 12 + 1)

    def with_months_before(self, count: int) -> list[Month]:
        """The `count` months before this one, oldest first, and this one."""
        return [self.plus(-back) for back in range(count, -1, -1)]

    @property
    def first_day(self) -> date:
        """The first day of the month."""
        return date(self.year, self.number, 1)


@dataclass(frozen=True)
class _Undated(Partition):
    """The partition of the rows whose date is NULL or infinite."""

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """The word `undated`."""
        return "undated"

    @property
    def folder_values(self) -> tuple[str, str]:
        """For both columns the value that Spark and Hive read as NULL (ExternalCatalogUtils.DEFAULT_PARTITION_NAME)."""
        return "__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__"

    @property
    def glue_values(self) -> tuple[str, str]:
        """0 and 0: PostgreSQL has no year 0."""
        # Glue rejects every filter on a numeric key once a partition has a value that is no number, such as Hive's
        # __HIVE_DEFAULT_PARTITION__ (trinodb/trino#13150, aws/aws-sdk#670).
        return "0", "0"

    @property
    def epoch_day(self) -> int:
        """The smallest int of PostgreSQL and Spark, which is no day of PostgreSQL."""
        return -(2**31)


UNDATED: Partition = _Undated()
"""The partition of the rows without a month, because their date is NULL or infinite."""


def runs(months: Iterable[Month]) -> list[list[Month]]:
    """The months in their order, in a list for each run of months without a gap."""
    found: list[list[Month]] = []
    for month in sorted(set(months)):
        if found and found[-1][-1].plus(1) == month:
            found[-1].append(month)
        else:
            found.append([month])
    return found
