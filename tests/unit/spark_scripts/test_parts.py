"""Which slices are written together, so that Spark keeps few sums for each row."""

from __future__ import annotations

from spark_scripts.lake.staging import parts_of_few_months
from spark_scripts.postgres.slicing import Slice


def slices(*days: range) -> list[Slice]:
    return [Slice(f"slice {number}", tuple(each)) for number, each in enumerate(days)]


def lengths(*days: range) -> list[int]:
    return [len(part) for part in parts_of_few_months(slices(*days))]


def test_slices_of_few_months_are_one_part() -> None:
    assert lengths(range(10), range(9, 24)) == [2]


def test_slices_in_the_order_of_time_are_parts_of_few_months() -> None:
    decades = [range(first, first + 12) for first in range(0, 240, 11)]
    parts = parts_of_few_months(slices(*decades))
    assert [one for part in parts for one in part] == slices(*decades)
    assert max(len({day for one in part for day in one.days}) for part in parts) <= 24
    assert len(parts) == 11


def test_slices_that_all_have_many_months_are_one_part() -> None:
    assert lengths(range(240), range(240), range(240)) == [3]
    assert lengths(range(240), range(200), range(240)) == [3]


def test_a_slice_of_many_months_is_a_part_with_those_that_add_none() -> None:
    assert lengths(range(5), range(100), range(50), range(100, 110)) == [3, 1]
