"""The table that people see in the terminal before the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aws_setup.onboarding.entries import Proposal
from aws_setup.onboarding.hints import format_reasons, index_hint
from aws_setup.onboarding.personal import personal_columns
from aws_setup.onboarding.relations import KINDS
from aws_setup.onboarding.rendering import reasons_left_out, size_text
from aws_setup.onboarding.study import NotProposed
from spark_scripts.contract.wording import counted

_HEAD = ("table", "rows", "size", "date column", "months", "remarks")
_TO_THE_RIGHT = (1, 2)


def table_text(proposed: Sequence[Proposal], left_out: Sequence[NotProposed]) -> str:
    """A line for each entry, then the relations without one, by the reason."""
    lines = [_HEAD, *map(_line, proposed)] if proposed else []
    widths = [max(len(line[index]) for line in lines) for index in range(len(_HEAD))] if lines else []
    texts = [_padded(line, widths) for line in lines]
    return "\n".join([*texts, *map(_printable, reasons_left_out(left_out))])


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if index in _TO_THE_RIGHT else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return _printable("  ".join(cells).rstrip())


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _line(one: Proposal) -> tuple[str, ...]:
    found = one.study
    months = f"{found.date.meant} to {found.date.last}" if found.date.meant else "?"
    size = "" if found.size is None else size_text(found.size)
    cells = (found.relation.quoted, f"{found.rows:,}", size, found.date.column.name, months)
    return (*cells, "; ".join(_remarks(one)))


def _remarks(one: Proposal) -> Iterator[str]:
    found = one.study
    if "name" in one.keys:
        yield f"called {one.keys['name']}"
    if found.relation.kind != "r":
        yield KINDS[found.relation.kind]
    if found.date.evidence in ("sample", "nothing"):
        yield "not analysed"
    if found.zoned:
        yield "time zone?"
    if index_hint(found):
        yield "an index would help"
    if format_reasons(found):
        yield "Parquet for Athena"
    if personal := personal_columns(found.relation.name, found.columns, found.sample):
        yield f"personal data in {counted(len(personal), 'column')}?"
    yield from found.notes
