"""The change that `make bench` makes before it measures a refresh: of 20 rows, of one month, and undone as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.bench.changes import CHANGES, SEEN_BY_CURSOR, Changes
from tests.bench.dataset import CURSOR, DATE_COLUMN, MONTH, Dataset

TABLE = Dataset(2_400, tracked=True)
MADE = datetime(2025, 6, 1, tzinfo=UTC)
"""After the table's newest row, before the change."""

Rows = dict[int, tuple[Any, ...]]


@pytest.fixture
def changes(source: psycopg.Connection[Any]) -> Iterator[Changes]:
    TABLE.ensure(source, print)
    yield Changes(source, TABLE)
    source.execute(f"DROP TABLE {TABLE.relation}, {Dataset(TABLE.rows).relation}".encode())


def rows(changes: Changes) -> Rows:
    query = f"SELECT id, {DATE_COLUMN}, {CURSOR}, t::text FROM {TABLE.relation} AS t"
    return {row[0]: row[1:] for row in changes.connection.execute(query.encode())}


def test_the_change_is_of_twenty_rows_of_the_month_and_is_undone(changes: Changes) -> None:
    before = rows(changes)
    changes.apply()
    after = rows(changes)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert len(changed) == CHANGES
    assert {f"{(after.get(key) or before[key])[0]:%Y-%m}" for key in changed} == {MONTH}
    assert len(before.keys() - after.keys()) == len(after.keys() - before.keys()) == 5
    assert sum(row[1] > MADE for row in after.values()) == SEEN_BY_CURSOR
    changes.undo()
    assert rows(changes) == before
