"""What a refresh writes down."""

from dataclasses import replace

from spark_scripts.contract.refresh import Refresh

FOUND = Refresh("t", "e", False, {"2024-01": "columns", "undated": "rows 1 → 2"}, {"2024-02": "before"})


def test_the_findings_are_read_as_they_were_written() -> None:
    assert Refresh.from_json(FOUND.to_json()) == FOUND


def test_the_summary_counts_months_and_names_the_rows_without_one() -> None:
    assert FOUND.summary() == "1 of 2 months changed, and the rows without a month"
    assert replace(FOUND, changed={}).summary() == "0 of 1 month changed"
    assert replace(FOUND, skipped="another writes it").summary() == "skipped: another writes it"
