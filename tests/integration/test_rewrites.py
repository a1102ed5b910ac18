"""A table that is rewritten around the snapshot arrives whole: all of it as it was before, or all as it is after."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts import ingest
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from spark_scripts.locking import watch
from spark_scripts.postgres.connection import Connection
from tests.integration.conftest import Account
from tests.integration.published import Run, read_csv
from tests.integration.rewriting import NEW, REWRITES, ROWS, TABLE, Trigger, at_statement, rewrite, while_reading
from tests.integration.whole import manifests

MONTHS = [Month(2024, 1), Month(2024, 2)]
ENTRY = Table("rewritten", "rw.t", "at", "2024-01", yield_after=1, slices=1)  # Spark reads it
TRUNCATE = REWRITES["TRUNCATE and INSERT"][1]
OTHER = Table("another", "rw.another", "at", "2024-01")


@pytest.fixture(autouse=True)
def schema(source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ingest, "PAUSE", 0.5)
    monkeypatch.setattr(watch, "BEAT", 0.2)
    source.execute("DROP SCHEMA IF EXISTS rw CASCADE; CREATE SCHEMA rw")
    source.execute("CREATE TABLE rw.another AS SELECT 1 AS id, DATE '2024-01-15' AS at")
    yield
    source.execute("DROP SCHEMA rw CASCADE")


def published(bucket: Path) -> list[list[str]]:
    return sorted(row for found in manifests(bucket, ENTRY).values() for row in read_csv(bucket, found))


def in_the_table(source: psycopg.Connection[Any]) -> list[list[str]]:
    return sorted([*row] for row in source.execute("SELECT id::text, at::text, note FROM rw.t").fetchall())


MOMENTS: dict[str, Callable[[Trigger], AbstractContextManager[Any]]] = {
    "between the snapshot and the first look": lambda trigger: at_statement(trigger, 0),
    "just before the lock": lambda trigger: at_statement(trigger, 8),
    "while another table is read": lambda trigger: while_reading(trigger, OTHER.name),
    "while the table is read": lambda trigger: while_reading(trigger, ENTRY.name),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("what", REWRITES)
def test_a_rewrite_at_this_moment_loses_nothing(
    what: str, moment: str, run: Run, bucket: Path, account: Account, source: psycopg.Connection[Any]
) -> None:
    loses_nothing(what, moment, ENTRY, run, bucket, account, source)


@pytest.mark.parametrize("what", REWRITES)
def test_a_rewrite_while_the_driver_reads_a_small_table_itself_loses_nothing(
    what: str, run: Run, bucket: Path, account: Account, source: psycopg.Connection[Any]
) -> None:
    loses_nothing(what, "while the table is read", replace(ENTRY, slices=None), run, bucket, account, source)


def loses_nothing(
    what: str,
    moment: str,
    entry: Table,
    run: Run,
    bucket: Path,
    account: Account,
    source: psycopg.Connection[Any],
) -> None:
    make, commands = REWRITES[what]
    source.execute(make.encode())
    before = in_the_table(source)
    trigger = Trigger(account.source_dsn, commands)
    with MOMENTS[moment](trigger):
        run("rewritten", OTHER, entry)
    trigger.finish()
    found = published(bucket)
    assert found in (before, in_the_table(source))
    assert len(found) == sum(month.source_rows for month in manifests(bucket, entry).values()) == ROWS


def test_a_rewrite_before_each_statement_of_the_driver_loses_nothing(
    run: Run, bucket: Path, account: Account, source: psycopg.Connection[Any]
) -> None:
    for number in itertools.count(step=3):
        source.execute(TABLE.encode())
        trigger = Trigger(account.source_dsn, TRUNCATE)
        with at_statement(trigger, number):
            run("rewritten", ENTRY, months=MONTHS)
        if trigger.thread is None:
            break
        trigger.finish()
        assert (number, len(published(bucket))) == (number, ROWS)
    assert number > 30


def test_a_reload_that_has_begun_is_waited_for_and_seen(
    run: Run, bucket: Path, account: Account, source: psycopg.Connection[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    source.execute(TABLE.encode())
    run("before", ENTRY, months=MONTHS)
    with psycopg.connect(account.source_dsn) as reload:
        reload.execute(f"TRUNCATE rw.t; INSERT INTO rw.t {NEW}".encode())
        commit = threading.Timer(3.5, reload.commit)
        commit.start()
        run("during", ENTRY, months=MONTHS)
        commit.join()
    assert {row[2] for row in published(bucket)} == {"new"}
    assert len(published(bucket)) == ROWS
    assert "waiting for a lock on rw.t, which is held or wanted by app (process" in capfd.readouterr().out


def test_rows_that_change_are_no_rewrite(
    run: Run, account: Account, source: psycopg.Connection[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    source.execute(TABLE.encode())
    changes = ("UPDATE rw.t SET note = 'new'", "DELETE FROM rw.t WHERE id < 100", "VACUUM ANALYZE rw.t")
    trigger = Trigger(account.source_dsn, (*changes, f"INSERT INTO rw.t {NEW}", "CREATE INDEX ON rw.t (at)"))
    with at_statement(trigger, 0):
        run("changed", ENTRY, months=MONTHS)
    trigger.finish()
    assert "attempt" not in capfd.readouterr().out


def test_a_table_that_is_rewritten_during_every_attempt_fails_and_says_so(
    run: Run, account: Account, source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source.execute(TABLE.encode())
    plan = Connection.plan

    def rewritten_just_before(self: Connection, query: str) -> Any:
        rewrite(account.source_dsn, TRUNCATE)
        return plan(self, query)

    monkeypatch.setattr(Connection, "plan", rewritten_just_before)
    message = r'"rw"\."t" was rewritten, replaced or altered.*\(rw\.t was rewritten\): run it again'
    with pytest.raises(IngestionError, match=message):
        run("restless", ENTRY, months=MONTHS)


def test_a_partition_that_is_attached_while_the_table_is_read_is_read_again(
    run: Run, bucket: Path, account: Account, source: psycopg.Connection[Any]
) -> None:
    make, _ = REWRITES["TRUNCATE and INSERT of a partition"]
    source.execute(make.encode())
    source.execute("CREATE TABLE rw.march AS SELECT id, at + interval '60 days' AS at, note FROM rw.t WHERE id <= 10")
    attach = "ALTER TABLE rw.t ATTACH PARTITION rw.march FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')"
    trigger = Trigger(account.source_dsn, (attach,))
    with while_reading(trigger, ENTRY.name):
        run("attached", ENTRY)
    trigger.finish()
    assert published(bucket) == in_the_table(source)
    assert len(published(bucket)) == ROWS + 10
    source.execute("DROP TABLE rw.t")
