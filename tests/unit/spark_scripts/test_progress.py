from __future__ import annotations

from dataclasses import replace

import pytest

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DocumentError
from spark_scripts.contract.progress import Progress

HALF = Progress(
    "e", ("one", "two"), 2, "orders", months=2, all_months=4, rows=2_000, all_rows=8_000, reading="2024-03", read=1,
    slices=2,
)  # fmt: skip


def test_the_document_gives_back_what_was_written() -> None:
    assert Progress.from_json(HALF.to_json()) == HALF


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 2}', '{"version": 1, "lines": [], "x": 1}'])
def test_a_document_of_another_form_is_an_error_and_readable_returns_none_for_it(text: str) -> None:
    with pytest.raises(DocumentError, match="the progress"):
        Progress.from_json(text)
    assert Progress.readable(text) is None


def test_each_line_is_given_once_and_missing_lines_are_counted() -> None:
    assert HALF.new_lines(0) == ["one", "two"]
    assert HALF.new_lines(1) == ["two"]
    assert HALF.new_lines(2) == []
    many = replace(HALF, said=12)
    assert many.new_lines(3) == ["(7 lines left out: they are in the log of the Spark driver)", "one", "two"]


def test_the_summary_and_the_share_count_months_rows_and_slices() -> None:
    assert HALF.summary() == "orders: 2 of 4 months committed, 2,000 of 8,000 rows, 2024-03: 1 of 2 slices read"
    assert HALF.share() == 0.75
    assert (Progress("e").summary(), Progress("e").share()) == ("", 0.0)


def test_the_progress_and_the_findings_of_a_refresh_are_no_manifests() -> None:
    prefix = layout.execution_manifests_prefix("e")
    assert layout.progress_key("e") == "raw-layer/_manifests/executions/e/_progress.json"
    assert layout.manifest_of_execution("e", layout.progress_key("e")) is None
    assert layout.manifest_of_execution("e", layout.refresh_key("e", "t")) is None
    assert layout.manifest_of_execution("e", f"{prefix}_progress/2024-02.json") == ("_progress", "2024-02")
