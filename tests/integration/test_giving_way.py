"""Nobody waits for the job for long: an ALTER TABLE during a job freezes neither the job nor the application."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts import ingest
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.tables import Table
from spark_scripts.ingestion import survey, workers
from spark_scripts.lake.publish import Publisher
from spark_scripts.locking import watch
from tests.integration.conftest import Account
from tests.integration.published import Run
from tests.integration.rewriting import Trigger, at_statement, while_reading
from tests.integration.whole import manifests

ROWS = 100
ALTER = ("ALTER TABLE yielding.base ADD COLUMN extra int", "DELETE FROM yielding.pause")
LIMIT = 10.0
"""Seconds that the application may wait where `yield_after` is 1 s: that, a beat, the end of the readers, and as much
again for a machine that is busy. Without giving way it would be a minute.
"""


@pytest.fixture(autouse=True)
def schema(source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A table, and two views over it: reading one and counting the other takes a minute, unless ALTER ends it."""
    monkeypatch.setattr(ingest, "PAUSE", 0.5)
    monkeypatch.setattr(watch, "BEAT", 0.5)
    source.execute("DROP SCHEMA IF EXISTS yielding CASCADE; CREATE SCHEMA yielding")
    source.execute(
        f"""
        CREATE TABLE yielding.base AS SELECT n AS id, '2024-01-01'::timestamp + n % 60 * interval '1 day' AS at
            FROM generate_series(1, {ROWS}) n;
        CREATE TABLE yielding.pause AS SELECT 0.6 AS seconds;
        CREATE FUNCTION yielding.sleep(seconds numeric) RETURNS text LANGUAGE sql STABLE
            AS 'SELECT pg_sleep(seconds)::text';
        CREATE VIEW yielding.slow AS SELECT id, at, yielding.sleep(seconds) AS note
            FROM yielding.base LEFT JOIN yielding.pause ON TRUE;
        CREATE VIEW yielding.slow_to_count AS
            SELECT id, at + (coalesce(pg_sleep(seconds)::text, '') || '0 s')::interval AS at
            FROM yielding.base LEFT JOIN yielding.pause ON TRUE;
        """.encode()
    )
    yield
    source.execute("DROP SCHEMA yielding CASCADE")


class Application:
    """A session that selects from the table again and again; `longest` is the longest that it waited, in seconds."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.longest = 0.0

    def __enter__(self) -> Application:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._ended.wait(0.05):
                begun = time.monotonic()
                connection.execute("SELECT FROM yielding.base LIMIT 1")
                self.longest = max(self.longest, time.monotonic() - begun)


def test_a_table_that_somebody_alters_while_it_is_read_is_released_and_read_again(
    run: Run, account: Account, bucket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entry = Table("slow", "yielding.slow", "at", "2024-01", yield_after=1, slice_by="none")
    trigger = Trigger(account.source_dsn, ALTER)
    with Application(account.source_dsn) as application, while_reading(trigger, "slow"):
        run("gives-way", entry)
    trigger.finish()
    assert sum(month.rows for month in manifests(bucket, entry).values()) == ROWS
    told = capfd.readouterr().out
    assert "slow: releasing it, because app (process" in told
    assert "ALTER TABLE yielding.base ADD COLUMN extra int waits" in told
    assert 0.9 < application.longest < LIMIT, application.longest


def test_a_count_is_cancelled_as_well(
    run: Run, account: Account, bucket: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    entry = Table("slow_to_count", "yielding.slow_to_count", "at", "2024-01", yield_after=1, slice_by="none")
    trigger = Trigger(account.source_dsn, ALTER)
    count = survey.count  # type: ignore[attr-defined]

    def alter_while_counting(*arguments: Any, **named: Any) -> Any:
        threading.Timer(0.5, trigger.pull).start()
        return count(*arguments, **named)

    monkeypatch.setattr(survey, "count", alter_while_counting)
    with Application(account.source_dsn) as application:
        run("gives-way", entry)
    trigger.finish()
    assert sum(month.rows for month in manifests(bucket, entry).values()) == ROWS
    assert "slow_to_count: attempt 1 of 3: slow_to_count: released the table" in capfd.readouterr().out
    assert 0.9 < application.longest < LIMIT, application.longest


def test_a_lock_that_cannot_be_taken_fails_the_table_and_names_who_holds_it(run: Run, account: Account) -> None:
    entry = Table("locked", "yielding.base", "at", "2024-01", lock_timeout=1)
    other = Table("other", "yielding.slow_to_count", "at", "2024-01", lock_timeout=1)
    with psycopg.connect(account.source_dsn, application_name="nightly-load") as holder:
        holder.execute("LOCK TABLE yielding.base")
        with pytest.raises(IngestionError) as raised:
            run("refused", entry, other)
    assert "2 of 2 tables failed: " in str(raised.value)
    who = (
        r"locked: waited 1 s for a lock that app \(nightly-load, process \d+\): LOCK TABLE yielding.base holds or wants"
    )
    raised.match(who)


def test_the_locks_of_a_table_that_is_done_are_released(
    run: Run, account: Account, source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST", 1)
    source.execute("CREATE TABLE yielding.second AS SELECT DATE '2024-01-15' AS at")
    done, second = (Table(name, f"yielding.{name}", "at", "2024-01") for name in ("base", "second"))
    trigger = Trigger(account.source_dsn, ALTER)
    with while_reading(trigger, "second"):
        run("both", done, second)
    assert trigger.seconds < 0.5


def test_the_locks_are_released_before_the_months_are_published(
    run: Run, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = Trigger(account.source_dsn, ALTER)
    publish = Publisher.publish

    def alter_first(self: Any, *arguments: Any) -> Any:
        trigger.pull()
        return publish(self, *arguments)

    monkeypatch.setattr(Publisher, "publish", alter_first)
    run("published", Table("base", "yielding.base", "at", "2024-01"))
    assert trigger.seconds < 0.5


def test_an_index_that_is_built_meanwhile_does_not_make_the_job_release_the_table(
    run: Run, account: Account, source: psycopg.Connection[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    source.execute("UPDATE yielding.pause SET seconds = 0.04")
    trigger = Trigger(account.source_dsn, ("CREATE INDEX CONCURRENTLY ON yielding.base (at)",))
    with at_statement(trigger, 0):
        run("indexed", Table("slow", "yielding.slow", "at", "2024-01", yield_after=1, slice_by="none"))
    trigger.finish()
    assert "attempt" not in capfd.readouterr().out


def test_only_the_table_for_which_somebody_waits_is_released(
    run: Run, account: Account, source: psycopg.Connection[Any], bucket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source.execute(
        """
        UPDATE yielding.pause SET seconds = 0.06; CREATE TABLE yielding.calm AS TABLE yielding.base;
        CREATE VIEW yielding.slow_and_calm AS SELECT id, at, yielding.sleep(0.06) AS note FROM yielding.calm;
        """
    )
    entry, calm = (
        Table(name, f"yielding.{name}", "at", "2024-01", yield_after=1, slice_by="none")
        for name in ("slow", "slow_and_calm")
    )
    trigger = Trigger(account.source_dsn, ALTER)
    with while_reading(trigger, "slow"):
        run("gives-way", entry, calm)
    trigger.finish()
    told = capfd.readouterr().out
    assert "slow: attempt 1 of 3: slow: released the table" in told
    assert "slow_and_calm: attempt" not in told
    for each in (entry, calm):
        assert sum(month.rows for month in manifests(bucket, each).values()) == ROWS


def test_an_execution_with_a_name_longer_than_postgresql_shows_ends_its_readers_as_well(
    run: Run, account: Account
) -> None:
    entry = Table("slow", "yielding.slow", "at", "2024-01", yield_after=1, slice_by="none")
    trigger = Trigger(account.source_dsn, ALTER)
    with while_reading(trigger, "slow"):
        run("e" * 80, entry)
    trigger.finish()
    assert trigger.seconds < LIMIT, trigger.seconds


JOINED = """
CREATE TABLE yielding.first AS SELECT 1 AS id, DATE '2024-01-15' AS at; CREATE TABLE yielding.second AS SELECT 1 AS id;
CREATE VIEW yielding.joined AS SELECT first.*, second.id AS other FROM yielding.first JOIN yielding.second USING (id)
"""


def test_a_table_is_released_while_the_job_waits_for_the_lock_on_another(
    run: Run, account: Account, source: psycopg.Connection[Any]
) -> None:
    source.execute(JOINED)
    trigger = Trigger(account.source_dsn, ("ALTER TABLE yielding.first ADD COLUMN extra int",))
    with psycopg.connect(account.source_dsn) as holder:
        holder.execute("LOCK TABLE yielding.second")
        threading.Timer(1, trigger.pull).start()
        with pytest.raises(IngestionError, match="joined: waited 8 s for a lock"):
            run("joined", Table("joined", "yielding.joined", "at", "2024-01", lock_timeout=8, yield_after=1))
    trigger.finish()
    assert trigger.seconds < 5, trigger.seconds


def test_no_table_of_the_catalog_stays_locked(run: Run, account: Account) -> None:
    entry = Table("base", "yielding.base", "at", "2024-01")
    vacuum = Trigger(account.source_dsn, ("VACUUM FULL pg_rewrite", "VACUUM FULL pg_inherits"))
    publish = Publisher.publish

    def vacuum_first(self: Any, *arguments: Any) -> Any:
        vacuum.pull()
        return publish(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Publisher, "publish", vacuum_first)
        run("published", entry)
    vacuum.finish()
    assert vacuum.seconds < 2, vacuum.seconds
