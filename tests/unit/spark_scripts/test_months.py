from datetime import UTC, date, datetime, timedelta

import pytest

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.months import UNDATED, Month, Partition


def test_a_month_is_written_as_the_partition_key() -> None:
    assert str(Month.parse("2024-02")) == "2024-02"
    assert str(Month(987, 3)) == "0987-03"


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-00", "2024-2", "24-02", "2024-02-01", "0000-01", "٢٠٢٤-02", " 2024-02", "", 202402]
)
def test_text_that_is_not_a_month_is_refused_and_named(text: object) -> None:
    with pytest.raises(InvalidInputError, match="is not a month: write year and month as in '2024-02'"):
        Month.parse(text)


def test_adding_months_goes_past_the_end_of_a_year() -> None:
    assert Month(2023, 12).plus(1) == Month(2024, 1)
    assert Month(2024, 1).plus(-13) == Month(2022, 12)


def test_a_month_is_listed_after_the_months_before_it() -> None:
    assert [str(month) for month in Month(2024, 1).with_months_before(2)] == ["2023-11", "2023-12", "2024-01"]
    assert Month(2024, 1).with_months_before(0) == [Month(2024, 1)]


def test_the_current_month_depends_on_the_zone() -> None:
    now = datetime(2024, 3, 1, 3, 0, tzinfo=UTC)
    assert Month.current("UTC", now) == Month(2024, 3)
    assert Month.current("America/Chicago", now) == Month(2024, 2)


def test_a_month_knows_its_first_day() -> None:
    assert Month.of(date(2024, 2, 29)).first_day == date(2024, 2, 1)


@pytest.mark.parametrize("month", [Month(2024, 2), Month(987, 12), Month(12024, 1), Month(-44, 3)])
def test_every_month_is_read_back_from_its_key(month: Month) -> None:
    assert Partition.of_key(str(month)) == month


@pytest.mark.parametrize(
    ("day", "key"),
    [
        (0, "1970-01"),
        (-1, "1969-12"),
        (19782, "2024-02"),  # the 29th
        (19783, "2024-03"),
        (-719162, "0001-01"),
        (-719163, "-001-12"),  # 1 BC: there is no year 0
        (-2440588, "-4714-11"),  # PostgreSQL's first day, 4714-11-24 BC
        (106751990, "294247-01"),
        (2145042905, "5874897-12"),  # its last, 5874897-12-31
    ],
)
def test_a_day_is_in_a_month_in_the_calendar_of_all_times(day: int, key: str) -> None:
    month = Partition.of_epoch_day(day)
    assert (str(month), Partition.of_key(key)) == (key, month)
    assert Partition.of_epoch_day(month.epoch_day) == month  # its first day is in it,
    assert Partition.of_epoch_day(month.epoch_day - 1) != month  # and the day before is not
    assert 0 <= day - month.epoch_day <= 30


def test_a_month_is_known_by_its_name_in_each_place() -> None:
    month = Month(2024, 2)
    assert month.key == "2024-02"
    assert month.folder == "year=2024/month=2/"
    assert month.glue_values == ("2024", "2")
    assert date(1970, 1, 1) + timedelta(days=month.epoch_day) == date(2024, 2, 1)


def test_the_rows_without_a_month_are_a_partition_with_a_name_in_each_place() -> None:
    null = "__HIVE_DEFAULT_PARTITION__"
    assert UNDATED.key == "undated"
    assert UNDATED.folder == f"year={null}/month={null}/"
    assert UNDATED.glue_values == ("0", "0")
    assert UNDATED.epoch_day == -(2**31)
    assert Partition.of_key("undated") == UNDATED == Partition.of_epoch_day(-(2**31))


def test_a_zone_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"Python has no time zone Mars/Base: set `timezone` in tables\.yaml"):
        Month.current("Mars/Base", datetime(2024, 1, 1, tzinfo=UTC))
