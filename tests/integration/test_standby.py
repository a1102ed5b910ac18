"""A hot standby as the source: Debian's PostgreSQL with streaming replication."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts import ingest
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.tables import Table
from spark_scripts.locking import watch
from tests.integration.published import Run, read_csv
from tests.integration.rewriting import REWRITES, ROWS, TABLE, Trigger, while_reading
from tests.integration.servers import INSTALLED, MISSING, Server, debian_programs, new_server, standby_of
from tests.integration.whole import manifests

pytestmark = pytest.mark.skipif(not INSTALLED, reason=MISSING)

ENTRY = Table("replicated", "rw.t", "at", "2024-01", lock_timeout=2, yield_after=1)


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with new_server(debian_programs()) as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: Server) -> Iterator[Server]:
    with standby_of(primary) as server:
        yield server


@pytest.fixture(scope="module")
def database(standby: Server) -> Database:
    """The source of `run`: the standby."""
    return standby.database


@pytest.fixture
def table(primary: Server, standby: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """A table of old rows, which the standby has as well; yields a session on the primary."""
    monkeypatch.setattr(ingest, "PAUSE", 0.5)
    monkeypatch.setattr(watch, "BEAT", 0.2)
    with primary.connect() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS rw")
        connection.execute(TABLE.encode())
        replayed(connection, standby)
        yield connection


def replayed(primary: psycopg.Connection[Any], standby: Server) -> None:
    """Wait until the standby has all that the primary has."""
    [position] = primary.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ("",)
    deadline = time.monotonic() + 30
    with standby.connect() as connection:
        query = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        while connection.execute(query, [position]).fetchone() != (True,):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def published(bucket: Path) -> list[list[str]]:
    return sorted(row for found in manifests(bucket, ENTRY).values() for row in read_csv(bucket, found))


def test_a_standby_is_read_under_one_snapshot_and_the_log_says_what_its_lock_is_worth(
    run: Run, bucket: Path, table: psycopg.Connection[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    run("standby", ENTRY)
    found = manifests(bucket, ENTRY)
    assert sum(month.rows for month in found.values()) == ROWS
    assert all(month.snapshot for month in found.values())
    told = "is a standby: an execution that reads another server can write the same tables"
    assert told in capfd.readouterr().out


@pytest.mark.parametrize("what", ["TRUNCATE and INSERT", "CREATE TABLE AS and a swap by rename", "ALTER COLUMN TYPE"])
def test_a_rewrite_on_the_primary_while_the_standby_is_read_loses_nothing(
    run: Run, bucket: Path, primary: Server, standby: Server, table: psycopg.Connection[Any], what: str
) -> None:
    trigger = Trigger(primary.dsn, REWRITES[what][1])
    with while_reading(trigger, ENTRY.name):
        run("standby", ENTRY)
    trigger.finish()
    assert len(published(bucket)) == ROWS
    assert len({row[2] for row in published(bucket)}) == 1


def test_the_error_about_a_standby_that_cancels_the_reading_names_the_settings_that_help(
    run: Run, primary: Server, standby: Server, table: psycopg.Connection[Any]
) -> None:
    with standby.connect() as connection:
        connection.execute("ALTER SYSTEM SET max_standby_streaming_delay = '1s'")
        connection.execute("SELECT pg_reload_conf()")
    table.execute("CREATE VIEW rw.slow AS SELECT id, at, pg_sleep(0.01)::text AS note FROM rw.t")
    replayed(table, standby)
    slow = Table("slow", "rw.slow", "at", "2024-01", slice_by="none")
    trigger = Trigger(primary.dsn, ("UPDATE rw.t SET note = 'changed'", "VACUUM rw.t"))
    with while_reading(trigger, "slow"), pytest.raises(IngestionError) as raised:
        run("standby", slow)
    trigger.finish()
    raised.match("slow.*due to conflict with recovery.*max_standby_streaming_delay or set hot_standby_feedback")
    assert "does not exist" not in str(raised.value)
