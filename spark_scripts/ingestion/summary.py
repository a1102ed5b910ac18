"""What an execution did, in a sentence for the notification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spark_scripts.contract.wording import counted

_TABLES = 50
"""So many tables are named. A notification of SNS has room for 256 KB."""


@dataclass(frozen=True)
class Outcome:
    """What became of one table, such as `2 of 48 months changed`; `changed` says whether the raw layer did."""

    text: str
    changed: bool = True


def summary(outcomes: Mapping[str, Outcome]) -> str:
    """The outcome of each table, by name: the changed ones first, and the number of those that are not named."""
    ordered = sorted(outcomes.items(), key=lambda item: not item[1].changed)
    named = [f"{table}: {outcome.text}" for table, outcome in ordered[:_TABLES]]
    more = len(ordered) - len(named)
    return "; ".join([*named, *([f"and {counted(more, 'more table')}"] if more else [])]) or "no table was asked for"
