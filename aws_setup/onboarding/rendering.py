"""Proposed entries as YAML, with what was found as comments."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence

import yaml

from aws_setup.onboarding.dates import Candidate, share
from aws_setup.onboarding.entries import Proposal
from aws_setup.onboarding.hints import format_reasons, index_hint, texts_in_parquet
from aws_setup.onboarding.personal import personal_columns, proposal
from aws_setup.onboarding.relations import KINDS
from aws_setup.onboarding.study import NotProposed, Study
from ingest_assets.tables import TablesError, TableSpec
from spark_scripts.contract.wording import counted

_WIDTH = 120
_INFINITE = 2**31


def entry_text(proposed: Proposal, timezone: str) -> str:
    """The entry with its comments, a block of lines. `timezone` is the TimeZone that the server gives to the user."""
    comments = [line for text in _about(proposed) for line in _comment(text)]
    (first, *others) = [f"{name}: {scalar(value)}" for name, value in proposed.keys.items()]
    keys = [f"- {first}", *(f"  {line}" for line in others)]
    return "\n".join([*comments, *keys, *(f"  {line}" for line in _optional(proposed, timezone))]) + "\n"


def not_proposed_text(left_out: Sequence[NotProposed]) -> str:
    """The relations without an entry, with the reasons, as comments."""
    return "".join(f"{line}\n" for text in reasons_left_out(left_out) for line in _comment(text))


def reasons_left_out(left_out: Sequence[NotProposed]) -> list[str]:
    """The relations without an entry, a text for each reason."""
    by_reason: dict[str, list[str]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one.relation.quoted)
    return [f"Not proposed, {reason}: {', '.join(names)}" for reason, names in by_reason.items()]


def scalar(text: str) -> str:
    """The text as a YAML value in one line, which PyYAML, the reader of tables.yaml, reads as this text."""
    plain = str(yaml.safe_dump(text, allow_unicode=True, width=_INFINITE)).removesuffix("\n...\n").rstrip("\n")
    if "\n" not in plain and text.isprintable():
        return plain
    return str(yaml.safe_dump(text, default_style='"', width=_INFINITE)).rstrip("\n")


def _about(proposed: Proposal) -> Iterator[str]:
    found = proposed.study
    yield f"{found.relation.quoted}: {', '.join(_figures(found))}"
    best, *others = found.candidates
    yield f"  date column: {_candidate(best)}"
    yield from (f"    or {_candidate(other)}" for other in others)
    if proposed.slicing:
        yield f"  slices: a month {proposed.slicing.month}; all months {proposed.slicing.whole}"
    if hint := index_hint(found):
        statement, reason = hint
        yield f"  index: {reason}. To create one:"
        yield f"    {statement}"
    if texts := texts_in_parquet(found):
        yield f"  Parquet carries as text: {', '.join(texts)}"
    yield from (f"  note: {note}" for note in found.notes)


def _figures(found: Study) -> Iterator[str]:
    about = "" if found.counted is not None or (found.sample and found.sample.whole) else "about "
    kind, children = found.relation.kind, found.relation.children
    if kind != "r":
        yield KINDS[kind]
    if children:
        yield counted(children, "partition" if kind == "p" else "child table")
    yield f"{about}{counted(found.rows, 'row')}"
    if found.size is not None:
        yield size_text(found.size)
    if found.date.meant and found.month_rows is not None:
        size = f" ({size_text(found.month_bytes)})" if found.month_bytes is not None else ""
        if found.date.months == 1:
            yield f"all in {found.date.last}"
        else:
            each = f"about {counted(found.month_rows, 'row')}{size} each"
            yield f"months {found.date.meant} to {found.date.last}, {each}"
    if found.counted:
        largest = max(found.counted, key=lambda month: found.counted[month] if found.counted else 0)
        yield f"at most {counted(found.counted[largest], 'row')} ({largest})"
    if kind in ("v", "f"):
        yield "a refresh ingests every month of it, because its rows carry no transaction id"


def _candidate(one: Candidate) -> str:
    reasons = list(one.reasons)
    if one.evidence == "nothing" or (one.evidence == "sample" and one.column.statistics is None):
        reasons.append("not analysed: run ANALYZE, or suggest --exact")
    if one.nulls and one.column.filled is False and not any("NULL" in reason for reason in reasons):
        reasons.append(f"{share(one.nulls)} NULL")
    span = f", {one.meant} to {one.last}" if one.meant else ""
    return f"{one.column.name} ({one.column.source.type}{span}): {', '.join(reasons)}"


def _optional(proposed: Proposal, timezone: str) -> Iterator[str]:
    """Keys to think about, as comments within the entry."""
    found = proposed.study
    yield from (line for note in proposed.first_month_notes for line in _comment(f"first_month: {note}", 2))
    if found.zoned:
        yield from _timezone(proposed, timezone)
    if reasons := format_reasons(found):
        yield "# format: parquet"
        yield from _comment(f"  for Athena, which reads CSV otherwise: {', '.join(reasons)}", 2)
    if personal := personal_columns(found.relation.name, found.columns, found.sample):
        yield "# columns:  # these look like personal data; a hash keeps equal values equal"
        for column, kind in personal.items():
            what = ", ".join(f"{name}: {json.dumps(value)}" for name, value in proposal(kind).items())
            yield f"#   {scalar(column)}: {{{what}}}  # {kind}"


def _timezone(proposed: Proposal, timezone: str) -> Iterator[str]:
    column = proposed.study.date.column.name
    question = f"  {column} is a timestamptz: in which zone do its months begin at midnight? Without this key, in UTC."
    if timezone in ("UTC", "Etc/UTC", "GMT", "Etc/GMT"):
        yield "# timezone: Europe/Berlin"
        yield from _comment(f"{question} The server's TimeZone is {timezone}, which may say nothing about that.", 2)
    elif _known(proposed, timezone):
        yield f"# timezone: {timezone}"
        yield from _comment(f"{question} This is the server's TimeZone.", 2)
    else:
        yield "# timezone: Europe/Berlin"
        yield from _comment(f"{question} The server's TimeZone {timezone} is no IANA name.", 2)


def _known(proposed: Proposal, timezone: str) -> bool:
    try:
        TableSpec.model_validate({**proposed.keys, "timezone": timezone})
    except (ValueError, TablesError):
        return False
    return True


def _comment(text: str, indent: int = 0) -> Iterable[str]:
    """The text as lines of a comment; a line that is too long goes on below, further in. SQL is not broken."""
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    if text.rstrip().endswith(";"):
        return [f"# {text}"]
    further = len(text) - len(text.lstrip()) + 2
    width = _WIDTH - indent - 2
    lines = textwrap.wrap(text, width, subsequent_indent=" " * further, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in lines]


def size_text(size: int) -> str:
    """Bytes as people read them, such as `1.4 MB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}" if size < 10 * factor else f"{size / factor:,.0f} {unit}"
    return f"{size} bytes"
