"""From a database to the text of entries: the whole of `suggest` but its arguments and its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aws_setup.onboarding import rights
from aws_setup.onboarding.entries import proposals
from aws_setup.onboarding.relations import find_relations
from aws_setup.onboarding.rendering import entry_text, not_proposed_text
from aws_setup.onboarding.report import table_text
from aws_setup.onboarding.session import Session
from aws_setup.onboarding.study import NotProposed, Study, study
from ingest_assets.tables import TableSpec
from spark_scripts.contract.database import Database
from spark_scripts.contract.months import Month
from spark_scripts.contract.wording import counted


@dataclass(frozen=True)
class Wanted:
    """What to look at: one schema or all, some tables or all, with `exact` all rows; and the entries that exist."""

    schema: str | None
    tables: tuple[str, ...]
    exact: bool
    existing: Sequence[TableSpec] = ()


@dataclass(frozen=True)
class Result:
    """The proposed `entries`, each a block of lines; the `text` of a file with them; and the `report` for people.

    `known` is how many of the relations had an entry before.
    """

    entries: list[str]
    text: str
    report: str
    known: int


def propose(source: Database | str, wanted: Wanted, now: datetime) -> Result:
    """Look at the database of a secret or a DSN and propose entries for the relations that have none.

    Raises UsageError when it cannot be reached or lacks the schema or a table, LostError when the connection ends.
    """
    month = Month.current("UTC", now)
    sources = {entry.source for entry in wanted.existing}
    with Session.open(source, exact=wanted.exact) as session:
        relations = find_relations(session, wanted.schema, wanted.tables)
        new = [one for one in relations if (one.schema, one.name) not in sources]
        studied = [study(session, one, month, exact=wanted.exact) for one in new]
        left_out = [one for one in studied if isinstance(one, NotProposed)]
        taken = [entry.name for entry in wanted.existing]
        proposed = proposals(session, [one for one in studied if isinstance(one, Study)], taken, month)
        entries = [entry_text(one, session.timezone) for one in proposed]
        lacking = rights.statements(session, left_out)
        head = _head(session, wanted, now)
    report = [table_text(proposed, left_out)] if new else []
    if known := len(relations) - len(new):
        report.append(f"{counted(known, 'table')} in tables.yaml already")
    if lacking:
        report.append("\n".join(["The user lacks rights. Let the owner, or a superuser, run:", *lacking]))
    text = "\n".join([head, *entries, *([not_proposed_text(left_out)] if left_out else [])])
    return Result(entries, text, "\n\n".join(report), known)


def _head(session: Session, wanted: Wanted, now: datetime) -> str:
    how = "All rows were counted." if wanted.exact else "Figures are PostgreSQL's estimates: --exact counts."
    return (
        f"# Proposed on {now:%Y-%m-%d} by `python -m aws_setup suggest` for the database {session.database!r}.\n"
        f"# Read it and edit it. {how}\n"
    )
