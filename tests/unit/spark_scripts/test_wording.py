from __future__ import annotations

import pytest

from spark_scripts.contract.wording import adjacent, counted, spans


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 months"), (1, "1 month"), (2, "2 months"), (1_200, "1,200 months"), (-1, "-1 months")]
)
def test_one_is_the_singular_and_all_others_are_the_plural(number: int, text: str) -> None:
    assert counted(number, "month") == text


@pytest.mark.parametrize(
    ("months", "text"),
    [
        ([], ""),
        (["2024-02"], "2024-02"),
        (["2024-02", "2024-01", "2024-02"], "2024-01 to 2024-02"),
        (["2023-12", "2024-01", "2024-03"], "2023-12 to 2024-01, 2024-03"),
        (["12024-01", "2024-01"], "2024-01, 12024-01"),
    ],
)
def test_months_are_written_as_ranges(months: list[str], text: str) -> None:
    assert spans(months) == text


def test_a_gap_begins_another_range() -> None:
    assert list(adjacent(["2024-05", "2023-12", "2024-01"])) == [["2023-12", "2024-01"], ["2024-05"]]
