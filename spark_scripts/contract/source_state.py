"""The state of a month in the source: what a manifest records of it, and what differs between two states.

Two equal states mean equal rows: `spark_scripts/postgres/source_state.py` has the proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Optional

from spark_scripts.contract.wording import counted

_WORDS = {
    "system": "another server",
    "database": "another database",
    "relation": "another table has the name",
    "role": "a primary in place of a standby, or the reverse",
    "version": "another major version of PostgreSQL",
    "timeline": "another timeline: a standby was promoted, or a backup restored",
    "fsync": "the server's setting fsync",
    "started": "the server was restarted",
    "columns": "columns",
    "children": "columns of a partition or child",
    "types": "types of columns",
    "entry": "entry in tables.yaml",
    "pepper": "the pepper of the hashed columns",
    "settings": "settings of the session",
    "job": "another release of the job",
    "bounds": "time zone data: the month begins or ends at another instant",
}
"""What to say of each fact, in the order in which facts are compared."""


@dataclass(frozen=True)
class SourceState:
    """A month of a table as one snapshot of the source has it.

    `rows` is their number, `ids` the sum, in decimal, of the hashes of their transaction ids and tables. `server` says
    which history of which table this is, `definition` holds digests of what a value's text depends on besides the row.
    """

    rows: int
    ids: str
    server: Mapping[str, str]
    definition: Mapping[str, str]

    def to_document(self) -> dict[str, Any]:
        """The state as JSON carries it."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: object) -> Optional[SourceState]:
        """The state that a manifest holds; None for one that holds none, or one of another form."""
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or document.keys() != names:
            return None
        state = cls(**document)
        facts = (state.server, state.definition)
        texts = isinstance(state.ids, str) and isinstance(state.rows, int)
        return state if texts and all(isinstance(each, dict) for each in facts) else None


def difference(recorded: Optional[SourceState], now: SourceState, *, trust_restarts: bool = False) -> Optional[str]:
    """What differs first, in words; None where the month holds the rows that it held when `recorded` was read.

    With `trust_restarts` a restart of the server alone is no difference. It still is one for a standby, which may
    follow another primary afterwards, and where fsync is off, since commits may be lost then.
    """
    if recorded is None:
        return "no state was recorded"
    then, current = {**recorded.server, **recorded.definition}, {**now.server, **now.definition}
    ignored = {"started"} if trust_restarts and _keeps_commits(recorded) and _keeps_commits(now) else set()
    changed = {name for name in then.keys() | current.keys() if then.get(name) != current.get(name)} - ignored
    if changed:
        return min((_WORDS.get(name, name) for name in changed), key=_rank)
    if recorded.rows != now.rows:
        return f"rows {recorded.rows:,} → {now.rows:,}"
    return None if recorded.ids == now.ids else f"newer rows among {counted(now.rows, 'row')}"


def _keeps_commits(state: SourceState) -> bool:
    return state.server.get("role") == "primary" and state.server.get("fsync") == "on"


def _rank(words: str) -> tuple[int, str]:
    order = list(_WORDS.values())
    return (order.index(words) if words in order else len(order)), words
