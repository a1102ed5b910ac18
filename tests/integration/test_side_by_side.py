"""The tables of an execution are counted and read side by side, under one snapshot, and none disturbs another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts import ingest
from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.progress import Progress
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingestion import workers
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.lake.staging import Stage
from spark_scripts.locking import watch
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.source import Source
from tests import gates
from tests.gates import GATE, closed_gate
from tests.integration.conftest import Account
from tests.integration.drivers import until
from tests.integration.published import Run, read_csv
from tests.integration.rewriting import Trigger, while_reading
from tests.integration.whole import manifests


def table(name: str, **changes: Any) -> Table:
    return Table(name, f"side.{name}", "at", "2024-01", **changes)


FIRST, SECOND, THIRD = (table(name) for name in ("first", "second", "third"))
GATED, GATED_DATE = table("gated", slice_by="none"), table("gated_date", slice_by="none")


@pytest.fixture(autouse=True)
def schema(source: psycopg.Connection[Any], bucket: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ingest, "PAUSE", 0.5)
    monkeypatch.setattr(watch, "BEAT", 0.2)
    source.execute("DROP SCHEMA IF EXISTS side CASCADE; CREATE SCHEMA side")
    for name in ("first", "second", "third"):
        source.execute(
            f"CREATE TABLE side.{name} AS SELECT n AS id, '2024-01-10'::timestamp + n % 2 * interval '1 month' AS at,"
            " 0 AS version FROM generate_series(1, 10) n".encode()
        )
    source.execute(
        f"""
        CREATE FUNCTION side.gate() RETURNS interval STABLE LANGUAGE plpgsql AS
            $$BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN '0'; END$$;
        CREATE VIEW side.gated AS SELECT id, at, side.gate() AS gate FROM side.third;
        CREATE VIEW side.gated_date AS SELECT id, at + side.gate() AS at FROM side.third;
        CREATE VIEW side.failing AS SELECT id, at, 1 / (id - id) AS n FROM side.third;
        """.encode()
    )
    yield
    source.execute("DROP SCHEMA side CASCADE")


@contextmanager
def begun(run: Run, *arguments: Any, **named: Any) -> Iterator[Future[None]]:
    """A job that works in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run, *arguments, **named)


def waits_at_the_gate(source: psycopg.Connection[Any], execution: str) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'advisory'"
    return bool(source.execute(query, [execution]).fetchall())


def executions(bucket: Path, entry: Table) -> set[str]:
    """The executions that the table's months are of."""
    return {month.execution for month in manifests(bucket, entry).values()}


def test_a_table_whose_read_takes_long_does_not_delay_the_others(
    run: Run, source: psycopg.Connection[Any], bucket: Path
) -> None:
    with closed_gate(source), begun(run, "beside", GATED, FIRST, SECOND) as job:
        until(lambda: waits_at_the_gate(source, "beside"))
        until(lambda: all(executions(bucket, each) == {"beside"} for each in (FIRST, SECOND)))
        assert waits_at_the_gate(source, "beside")
        assert "beside" not in executions(bucket, GATED)
        gates.open_(source)
        job.result()
        gates.close(source)
    assert executions(bucket, GATED) == {"beside"}
    progress = Progress.from_json((bucket / layout.progress_key("beside")).read_text(encoding="utf-8"))
    assert progress.summary() == "3 of 3 tables: 6 of 6 months committed, 30 of 30 rows"


def test_a_refresh_counts_the_tables_side_by_side(run: Run, source: psycopg.Connection[Any], bucket: Path) -> None:
    found = bucket / layout.refresh_key("looked", FIRST.name)
    with closed_gate(source), begun(run, "looked", GATED_DATE, FIRST, refresh=True, dry_run=True) as job:
        until(lambda: waits_at_the_gate(source, "looked"))
        until(found.exists)
        assert waits_at_the_gate(source, "looked")
        gates.open_(source)
        job.result()
        gates.close(source)


def test_tables_of_different_threads_are_read_under_the_snapshot_that_the_job_took(
    spark: SparkSession,
    database: Database,
    lake: Lake,
    bucket: Path,
    source: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = set()
    both = threading.Barrier(2, timeout=30)
    write = Stage.write
    change = "BEGIN; UPDATE side.first SET version = version + 1; UPDATE side.second SET version = version + 1; COMMIT"

    def written_together(self: Stage, *arguments: Any) -> Any:
        sessions.add(self._source.connection.pid)
        if both.wait() == 0:
            source.execute(change)
        return write(self, *arguments)

    monkeypatch.setattr(Stage, "write", written_together)
    keys = [lock_key(lake.bucket, each.name) for each in (FIRST, SECOND)]
    with (
        Locks.taken(spark, database, "one", keys) as locks,
        Source.connect(spark, database, "one") as snapshot,
    ):
        source.execute(change)
        ingest.ingest(spark, snapshot, locks, lake, [TableRequest(each, None) for each in (FIRST, SECOND)])
        exported = snapshot.snapshot
    assert len(sessions) == 2
    for each in (FIRST, SECOND):
        found = manifests(bucket, each).values()
        assert {row[2] for month in found for row in read_csv(bucket, month)} == {"0"}
        assert {month.snapshot for month in found} == {exported}


def test_a_table_that_is_rewritten_one_that_is_locked_and_those_that_fail_do_not_disturb_the_others(
    run: Run,
    account: Account,
    source: psycopg.Connection[Any],
    bucket: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    try_again = ingest._Attempts._try_again

    def unlocked_first(self: Any, attempt: Any, error: Any) -> None:
        if attempt.name == "locked":
            holder.commit()
        try_again(self, attempt, error)

    source.execute("CREATE TABLE side.locked AS TABLE side.first; CREATE TABLE side.rewritten AS TABLE side.first")
    locked, rewritten = table("locked", lock_timeout=1), table("rewritten")
    fill = "INSERT INTO side.rewritten SELECT id, at, 1 FROM side.first"
    trigger = Trigger(account.source_dsn, (f"BEGIN; TRUNCATE side.rewritten; {fill}; COMMIT",))
    with (
        psycopg.connect(account.source_dsn, application_name="nightly-load") as holder,
        while_reading(trigger, FIRST.name),
    ):
        holder.execute("LOCK TABLE side.locked")
        monkeypatch.setattr(ingest._Attempts, "_try_again", unlocked_first)
        with pytest.raises(IngestionError) as raised:
            run("mixed", locked, FIRST, rewritten, table("failing"), table("missing"), SECOND)
    trigger.finish()
    assert str(raised.value).startswith("2 of 6 tables failed: failing ")
    raised.match(r"failing .*division by zero.*; missing: .* has no table side\.missing")
    for each in (locked, FIRST, rewritten, SECOND):
        assert executions(bucket, each) == {"mixed"}
        assert sum(month.rows for month in manifests(bucket, each).values()) == 10
    told = capfd.readouterr().out
    assert "locked: attempt 1 of 3: locked: waited 1 s for a lock that app (nightly-load" in told
    snapshots = {each.name: {month.snapshot for month in manifests(bucket, each).values()} for each in (FIRST, SECOND)}
    assert snapshots["first"] == snapshots["second"] != {month.snapshot for month in manifests(bucket, locked).values()}


def test_a_table_whose_session_is_lost_fails_alone(
    run: Run, source: psycopg.Connection[Any], bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST", 2)
    holder = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE relation = 'side.gated'::regclass AND state = 'idle in transaction' AND application_name = 'lonely'"
    )
    with closed_gate(source), begun(run, "lonely", GATED, FIRST, SECOND, replace(THIRD, verify="content")) as job:
        until(lambda: waits_at_the_gate(source, "lonely"))
        assert len(source.execute(holder).fetchall()) == 1
        with pytest.raises(IngestionError, match=r"1 of 4 tables failed: gated.*terminating connection"):
            job.result()
    assert all(executions(bucket, each) == {"lonely"} for each in (FIRST, SECOND, THIRD))
