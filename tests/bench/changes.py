"""A change of one closed month as applications, scripts and imports make it, and its undoing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.bench.dataset import CURSOR, DATE_COLUMN, IN_MONTH, KEY, MONTH, Dataset

_UPDATED, _UPDATED_SILENTLY, _DELETED = 6, 4, 5
_LATE, _IMPORTED = 3, 2

CHANGES = _UPDATED + _UPDATED_SILENTLY + _DELETED + _LATE + _IMPORTED
"""Rows that were changed, are gone, or are new."""

SEEN_BY_CURSOR = _UPDATED + _LATE
"""Those of them whose CURSOR says so."""

DESCRIPTION = (
    f"In {MONTH}, {_UPDATED + _UPDATED_SILENTLY} rows are updated ({_UPDATED} by the application, which sets"
    f" `{CURSOR}`, {_UPDATED_SILENTLY} by a script that does not), {_DELETED} are deleted, and {_LATE + _IMPORTED} come"
    f" late ({_LATE} by the application, {_IMPORTED} from an import that keeps the `{CURSOR}` of the system that they"
    f" come from). `{CURSOR}` has an index."
)


@dataclass(frozen=True)
class Changes:
    """The change of the tracked table `dataset`, always of the same rows, which its owner makes on `connection`."""

    connection: psycopg.Connection[Any]
    dataset: Dataset

    def apply(self) -> None:
        """Make the change in one transaction."""
        relation, ids = self.dataset.relation, self._ids()
        touched, silent = ids[:_UPDATED], ids[_UPDATED : _UPDATED + _UPDATED_SILENTLY]
        with self.connection.transaction():
            self._run(
                f"UPDATE {relation} SET attempts = attempts + 1, {CURSOR} = now() WHERE {KEY} = ANY (%s)", touched
            )
            self._run(f"UPDATE {relation} SET attempts = attempts + 1, fee = fee + 1 WHERE {KEY} = ANY (%s)", silent)
            self._run(f"DELETE FROM {relation} WHERE {KEY} = ANY (%s)", ids[-_DELETED:])
            self._insert_late(ids[: _LATE + _IMPORTED], ids[_LATE : _LATE + _IMPORTED])

    def undo(self) -> None:
        """Give the table the rows back that it was made with; where they lie and their transactions differ."""
        ids, relation = self._ids(), self.dataset.relation
        with self.connection.transaction():
            self._run(f"DELETE FROM {relation} WHERE {KEY} >= {self.dataset.rows} OR {KEY} = ANY (%s)", ids)
            self._run(f"INSERT INTO {relation} {self.dataset.original_rows} WHERE {KEY} = ANY (%s)", ids)

    def _insert_late(self, models: list[int], imported: list[int]) -> None:
        """Insert copies of the rows `models` under keys of their own, those of `imported` with a CURSOR of then."""
        self._run(
            f"CREATE TEMP TABLE late ON COMMIT DROP AS {self.dataset.original_rows} WHERE {KEY} = ANY (%s)", models
        )
        self._run(f"UPDATE late SET {CURSOR} = {DATE_COLUMN} AT TIME ZONE 'UTC' WHERE {KEY} = ANY (%s)", imported)
        self._run(f"UPDATE late SET {CURSOR} = now() WHERE NOT {KEY} = ANY (%s)", imported)
        self.connection.execute(f"UPDATE late SET {KEY} = {KEY} + {self.dataset.rows}, created_at = now()".encode())
        self.connection.execute(f"INSERT INTO {self.dataset.relation} SELECT * FROM late".encode())

    def _ids(self) -> list[int]:
        """The keys of the rows to change, spread over the month."""
        number = _UPDATED + _UPDATED_SILENTLY + _DELETED
        original = Dataset(self.dataset.rows).relation
        query = f"SELECT {KEY} FROM {original} WHERE {IN_MONTH} ORDER BY md5({KEY}::text) LIMIT {number}"
        return [row[0] for row in self.connection.execute(query.encode())]

    def _run(self, statement: str, ids: list[int]) -> None:
        self.connection.execute(statement.encode(), [ids])


@dataclass(frozen=True)
class Wrong:
    """Rows of a target that differ from the database: `missing` there, `stale`, `extra` (deleted rows), or twice."""

    missing: int
    stale: int
    extra: int
    twice: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.missing + self.stale + self.extra + self.twice

    def __str__(self) -> str:
        """The number, and what is wrong with them."""
        parts = {
            "missing": self.missing,
            "with old values": self.stale,
            "that the database no longer has": self.extra,
            "twice": self.twice,
        }
        named = ", ".join(f"{number} {what}" for what, number in parts.items() if number)
        return f"{self.total} ({named})" if named else "0"

    @classmethod
    def from_json(cls, text: str) -> Wrong:
        """What peer_compare.py prints."""
        return cls(**json.loads(text))
