"""Text that all three packages share: numbers and months in messages, and how a line of the job's log begins."""

from __future__ import annotations

from collections.abc import Iterable

from spark_scripts.contract.months import Month, Partition, runs

RUNTIME_PREFIX = "running on "
"""How the job's log line about its versions begins; `python -m aws_setup preflight` looks for it."""


def counted(number: int, thing: str) -> str:
    """The number with its thing, as in `1 month` and `1,200 rows`. `thing` forms its plural with an s."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def spans(months: Iterable[str]) -> str:
    """Months as ranges, as in `2024-01 to 2024-03, 2024-05`."""
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in adjacent(months))


def adjacent(months: Iterable[str]) -> list[list[str]]:
    """The months in their order, in a list for each run of months without a gap. Raises ValueError for other text."""
    found = [month for month in map(Partition.of_key, months) if isinstance(month, Month)]
    return [[month.key for month in run] for run in runs(found)]
