"""What refreshes found of one table: which months have changed, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from spark_scripts.contract.documents import read_document
from spark_scripts.contract.months import UNDATED
from spark_scripts.contract.wording import counted

VERSION = 1


@dataclass(frozen=True)
class Refresh:
    """The partitions of a table that a refresh looked at, by their keys.

    `changed` has the reason for each that differs from the raw layer, which the refresh ingests unless it is a
    `dry_run`. `unchanged` has the execution that ingested each of the others. `no_state` says why no month of the
    table has a state to compare, so that all are ingested. `skipped` says why the table was not looked at.
    """

    table: str
    execution: str
    dry_run: bool
    changed: Mapping[str, str] = field(default_factory=dict)
    unchanged: Mapping[str, str] = field(default_factory=dict)
    no_state: Optional[str] = None
    skipped: Optional[str] = None

    def to_json(self) -> str:
        """The findings as a JSON document."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Refresh:
        """Read a document. Raises DocumentError when it is of another version or form."""
        return read_document(text, "the findings of the refresh", VERSION, lambda fields: cls(**fields))

    def to_ingest(self) -> list[str]:
        """The months that the refresh has to ingest, in their order; a dry run has none."""
        return [] if self.dry_run else sorted(self.changed.keys() - {UNDATED.key})

    def summary(self) -> str:
        """One line for people, such as `2 of 48 months changed`."""
        if self.skipped is not None:
            return f"skipped: {self.skipped}"
        months = self.changed.keys() - {UNDATED.key}
        looked_at = (self.changed.keys() | self.unchanged.keys()) - {UNDATED.key}
        undated = ", and the rows without a month" if UNDATED.key in self.changed else ""
        return f"{len(months)} of {counted(len(looked_at), 'month')} changed{undated}"


@dataclass(frozen=True)
class Look:
    """What the last refresh that looked at a partition found.

    `at` is the time of its snapshot, ISO 8601 in UTC by the server's clock, and `execution` its name. `reason` says
    what differs from the raw layer; None if nothing does. `ingested` is `finished` of the partition's manifest at that
    time, None where there was no manifest: a manifest with another time is a later ingest, which the reason is not
    about.
    """

    at: str
    execution: str
    reason: Optional[str] = None
    ingested: Optional[str] = None


@dataclass(frozen=True)
class Findings:
    """What is known of each partition of a table, by its key: its last look, whichever refresh made it."""

    table: str
    looks: Mapping[str, Look] = field(default_factory=dict)

    def to_json(self) -> str:
        """The findings as a JSON document."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Findings:
        """Read a document. Raises DocumentError when it is of another version or form."""
        return read_document(text, "what is known of the table", VERSION, cls._of_fields)

    @classmethod
    def _of_fields(cls, fields: dict[str, Any]) -> Findings:
        return cls(fields["table"], {key: Look(**look) for key, look in fields["looks"].items()})
