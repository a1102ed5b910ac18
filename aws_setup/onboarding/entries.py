"""The entries of tables.yaml to propose: their keys, and names that no other entry has."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from aws_setup.onboarding.hints import Slicing, slicing
from aws_setup.onboarding.relations import Found
from aws_setup.onboarding.session import Session
from aws_setup.onboarding.study import Study
from ingest_assets.tables import TableSpec
from spark_scripts.contract.months import Month

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,62}")
_LONGEST = 63
_EARLIEST = Month(1000, 1)
"""What tables.yaml takes as the earliest first_month."""


@dataclass(frozen=True)
class Proposal:
    """An entry: its keys, remarks on its first month, and how the job would cut its reads."""

    study: Study
    keys: dict[str, str]
    first_month_notes: Sequence[str]
    slicing: Slicing | None


def proposals(session: Session, studies: Sequence[Study], taken: Collection[str], now: Month) -> list[Proposal]:
    """An entry for each relation. `taken` are names that other entries have."""
    found = []
    for study, name in zip(studies, _names([each.relation for each in studies], taken), strict=True):
        first, notes = _first_month(study, now)
        keys = {
            **({"name": name} if name else {}),
            "table": study.relation.quoted,
            "date_column": study.date.column.name,
            "first_month": str(first),
        }
        table = TableSpec.model_validate(keys).to_table()
        found.append(Proposal(study, keys, notes, slicing(session, study, table, now)))
    return found


def _first_month(study: Study, now: Month) -> tuple[Month, list[str]]:
    date, notes = study.date, []
    if date.meant is None:
        reason = "there are no rows with a date yet" if not study.rows else "the dates are not known"
        return now, [f"this is the current month, since {reason}"]
    if date.evidence == "statistics":
        notes.append("by PostgreSQL's statistics, which are a sample: there may be earlier rows (--exact looks)")
    if date.evidence == "sample":
        notes.append("by a sample, since the column was not analysed: run ANALYZE, or suggest --exact")
    if date.first and date.first < date.meant:
        notes.append(
            f"some dates are in {date.first}, probably to say that they are unknown: a full ingest writes them too, but"
            " Dagster has no partition for them"
        )
    return min(max(date.meant, _EARLIEST), now), notes


def _names(relations: Sequence[Found], taken: Collection[str]) -> Iterator[str | None]:
    """The key `name` for each relation, None where the table's own name will do.

    Names that differ in capitals only are the same for Hive. Where several tables share one, all get their schema's
    before it.
    """
    used = {name.lower() for name in taken}
    own = Counter(one.name.lower() for one in relations)
    for one in relations:
        default = one.name.lower()
        if _NAME.fullmatch(one.name) and own[default] == 1 and default not in used:
            used.add(default)
            yield None
        else:
            name = _free(one, used, alone=own[default] == 1)
            used.add(name)
            yield name


def _free(relation: Found, used: Collection[str], *, alone: bool) -> str:
    """A name from those of table and schema, with a number where it is taken."""
    names = [_plain(relation.name)] if alone else []
    names.append(_plain(f"{relation.schema}_{relation.name}"))
    numbered = (f"{names[-1][: _LONGEST - 4]}_{number}" for number in range(2, 1000))
    return next(name for name in (*names, *numbered) if name not in used)


def _plain(text: str) -> str:
    """The text in letters, digits and inner underscores, without accents: `Order Détails` gives `order_details`."""
    ascii_text = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_text).strip("_")[:_LONGEST] or "table"
