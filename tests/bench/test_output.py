"""The count that keeps contestants honest is itself a thing to test."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pytest

from tests.bench import output

VALUES = ["", "plain", "comma, comma", 'she said "no"', '"', '""', 'a"', "line one\nline two", '"\n"', "\n\n"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 24])
def test_records_are_counted_whatever_quotes_and_newlines_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(output, "_CHUNK", chunk)
    kinds: tuple[Literal[0, 1], ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    for number, quoting in enumerate(kinds):
        with (tmp_path / f"{number}.csv").open("w", newline="") as file:
            writer = csv.writer(file, quoting=quoting, lineterminator="\n")
            writer.writerows([["a", "b"], *([left, right] for left in VALUES for right in VALUES)])
    assert output.csv_records(tmp_path.glob("*.csv")) == 2 * len(VALUES) ** 2


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 24])
def test_a_quote_after_a_backslash_ends_no_value_of_the_seeds_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(output, "_CHUNK", chunk)
    file = tmp_path / "part.csv"
    file.write_text('a,b\n1,"say \\"no\\", \\"\nno"\n2,plain\n3,"\\""\n')
    assert output.csv_records([file], backslash=True) == 3
