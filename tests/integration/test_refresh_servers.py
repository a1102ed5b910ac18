"""What a refresh makes of a server that crashes, is promoted, restored, or whose transaction counter goes round."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from spark_scripts.contract.tables import Table
from tests.integration.refreshing import Raw, Rule, Sessions, held, refresh
from tests.integration.servers import Server, embedded_programs, new_server, run_program, running, standby_of

TABLE = Table("r", "r.t", "at", "2024-01")
CREATE = "CREATE SCHEMA r; CREATE TABLE r.t (at timestamp, note text); INSERT INTO r.t VALUES ('2024-02-05', 'base')"
INSERT = "INSERT INTO r.t VALUES ('2024-01-05', '{}')"
JANUARY = 19723
PAGES = 32 * 32768  # transactions of a file in pg_xact; PostgreSQL makes the file at the first of them


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(server: Server) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def value(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row
    return row[0]


def refreshed(server: Server, raw: Raw, rule: Rule) -> dict[int, str]:
    with Sessions.of(server.dsn) as sessions:
        return refresh(sessions, TABLE, raw, rule).changed


def right(server: Server, raw: Raw, rule: Rule) -> bool:
    """Whether the raw layer, after a refresh, holds what the table does."""
    with Sessions.of(server.dsn) as sessions:
        done = refresh(sessions, TABLE, raw, rule)
    return held(raw) == done.truth


def crash(server: Server) -> None:
    """Kill a server process, after which all of them start again with what is flushed; the postmaster stays."""
    with server.connect() as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        time.sleep(0.2)
    wait(lambda: answers(server))


@contextmanager
def counter_set(server: Server, next_id: int) -> Iterator[Server]:
    """The server, which need not run, with that id for its next transaction; it is stopped at the end."""
    programs, data, log = server.programs, server.data, server.data.with_name("reset.log")
    if (data / "postmaster.pid").exists():
        run_program([programs / "pg_ctl", "stop", "-D", data, "-m", "fast"], log)
    run_program([programs / "pg_resetwal", "-x", str(next_id), "-D", data], log)
    password = str(conninfo_to_dict(server.dsn)["password"])
    with running(programs, data, password, {"autovacuum": "off"}) as again:
        yield again


@pytest.mark.parametrize("flushed", [True, False])
def test_a_visible_commit_that_a_crash_loses_is_not_taken_for_the_one_that_gets_its_id(flushed: bool) -> None:
    rule, raw = Rule(flushed=flushed), Raw()
    settings = {"synchronous_commit": "off", "wal_writer_delay": "10s", "autovacuum": "off"}
    with new_server(embedded_programs(), {}, **settings) as server:
        with server.connect() as owner:
            owner.execute(f"SET synchronous_commit = on; {CREATE}".encode())
            owner.execute("CHECKPOINT")
        for _ in range(5):
            with server.connect() as owner:
                lost = value(owner, f"{INSERT.format('lost')} RETURNING xmin::text")
            refreshed(server, raw, rule)
            crash(server)
            with server.connect() as owner:
                if value(owner, "SELECT count(*) FROM r.t WHERE note = 'lost'"):  # the WAL writer was faster
                    owner.execute("DELETE FROM r.t WHERE note = 'lost'")
                    continue
                assert value(owner, f"{INSERT.format('later')} RETURNING xmin::text") == lost
            break
        assert right(server, raw, rule) == flushed


@pytest.mark.parametrize("timeline", [True, False])
def test_a_promoted_standby_that_gives_the_same_id_to_other_rows_is_another_history(timeline: bool) -> None:
    ignored = frozenset() if timeline else frozenset({"timeline"})
    rule, raw = Rule(ignored=ignored, flushed=False, trust_restarts=True), Raw()
    settings = {"autovacuum": "off", "fsync": "on"}
    with new_server(embedded_programs(), {}, **settings) as primary, primary.connect() as owner:
        owner.execute(CREATE)
        with standby_of(primary, **settings) as standby, standby.connect() as other:
            other.execute("ALTER SYSTEM SET primary_conninfo = ''")
            other.execute("SELECT pg_reload_conf()")
            wait(lambda: value(other, "SELECT count(*) FROM pg_stat_wal_receiver") == 0)
            old = value(owner, f"{INSERT.format('of the primary')} RETURNING xmin::text")
            assert refreshed(primary, raw, rule)
            assert value(other, "SELECT pg_promote()")
            assert value(other, f"{INSERT.format('of the standby')} RETURNING xmin::text") == old
            assert right(standby, raw, rule) == timeline


def test_a_running_standby_is_trusted_and_its_primary_is_another_source() -> None:
    raw, rule = Raw(), Rule(trust_restarts=True)
    with new_server(embedded_programs()) as primary, primary.connect() as owner:
        owner.execute(CREATE)
        with standby_of(primary) as standby:
            with standby.connect() as other:
                wait(lambda: bool(value(other, "SELECT to_regclass('r.t')::text")))
            refreshed(standby, raw, rule)
            assert refreshed(standby, raw, rule) == {}
            owner.execute(INSERT.format("new").encode())
            wait(lambda: JANUARY in refreshed(standby, raw, rule))
            assert set(refreshed(primary, raw, rule).values()) == {"a primary in place of a standby, or the reverse"}


def test_a_database_that_is_restored_from_a_dump_changes_every_month() -> None:
    raw, rule = Raw(), Rule(flushed=False)
    with new_server(embedded_programs()) as server, server.connect() as owner:
        owner.execute(CREATE)
        assert len(refreshed(server, raw, rule)) == 1
        programs = server.programs
        dump = subprocess.run([programs / "pg_dump", "-n", "r", server.dsn], check=True, capture_output=True).stdout
        owner.execute("DROP SCHEMA r CASCADE")
        subprocess.run([programs / "psql", "-q", server.dsn], input=dump, check=True, capture_output=True)
        assert set(refreshed(server, raw, rule).values()) == {"another table has the name"}


def test_rows_from_before_the_transaction_counter_went_round_stay_unchanged_and_a_new_one_is_seen() -> None:
    raw, rule, high = Raw(), Rule(flushed=False), 2861 * PAGES
    with new_server(embedded_programs(), autovacuum="off") as first:
        with first.connect() as owner:
            owner.execute("VACUUM FREEZE")  # the catalog must survive the jumps, each below 2^31
        with counter_set(first, high // 2 // PAGES * PAGES) as server, server.connect() as owner:
            owner.execute("VACUUM FREEZE")
        with counter_set(first, high) as server, server.connect() as owner:
            owner.execute(CREATE)
            owner.execute(INSERT.format("old").encode())
            owner.execute("VACUUM FREEZE")
        with counter_set(first, PAGES) as server, server.connect() as owner:
            assert value(owner, "SELECT min(xmin::text::bigint) FROM r.t") >= high  # ids that look younger than any
            assert len(refreshed(server, raw, rule)) == 2
            owner.execute(
                "WITH gone AS (DELETE FROM r.t WHERE note = 'old') INSERT INTO r.t VALUES ('2024-01-05', 'new')"
            )
            assert refreshed(server, raw, rule) == {JANUARY: "newer rows among 1 row"}
            assert right(server, raw, rule)
