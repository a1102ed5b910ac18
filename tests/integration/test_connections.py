"""Connections that are cut, refused or led elsewhere: the error names the first reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts import ingest
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingestion import workers
from spark_scripts.lake import small_months, spark_io
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking import watch
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.errors import ConnectionLostError, SourceError
from spark_scripts.postgres.login import ReadSecret
from spark_scripts.postgres.source import Source
from tests.integration.proxies import proxy
from tests.integration.rewriting import Trigger, while_reading
from tests.integration.servers import Server, embedded_programs, new_server
from tests.integration.whole import manifests

SLOW = Table("slow", "connections.slow", "at", "2024-01", slice_by="none")
PLAIN = Table("plain", "connections.plain", "at", "2024-01", slices=1)  # Spark reads it

_PREPARED = """
CREATE ROLE reader LOGIN PASSWORD 'first'; CREATE SCHEMA connections; GRANT USAGE ON SCHEMA connections TO reader;
CREATE TABLE connections.plain AS SELECT n AS id, DATE '2024-02-01' AS at FROM generate_series(1, 10) n;
CREATE FUNCTION connections.pause() RETURNS text LANGUAGE sql STABLE AS 'SELECT pg_sleep(0.7)::text';
CREATE VIEW connections.slow AS SELECT id, at, connections.pause() AS note FROM connections.plain;
GRANT SELECT ON ALL TABLES IN SCHEMA connections TO reader;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server(embedded_programs()) as server, server.connect() as owner:
        owner.execute(_PREPARED)
        yield server


@pytest.fixture
def owner(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with server.connect() as connection:
        connection.execute("ALTER ROLE reader PASSWORD 'first' CONNECTION LIMIT -1")
        yield connection


@pytest.fixture
def reader(server: Server, owner: psycopg.Connection[Any]) -> Database:
    return replace(server.database, user="reader", password="first")


class Ingestion:
    """Ingests tables from any database."""

    def __init__(self, spark: SparkSession, lake: Lake) -> None:
        self._spark = spark
        self._lake = lake

    def __call__(self, database: Database, *tables: Table, read_secret: ReadSecret | None = None) -> None:
        keys = [lock_key(self._lake.bucket, table.name) for table in tables]
        with (
            Locks.taken(self._spark, database, "connections", keys) as locks,
            Source.connect(self._spark, database, "connections", read_secret) as source,
        ):
            requests = [TableRequest(table, None) for table in tables]
            ingest.ingest(self._spark, source, locks, self._lake, requests)


@pytest.fixture
def ingestion(spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Ingestion:
    monkeypatch.setattr(ingest, "PAUSE", 0.2)
    return Ingestion(spark, lake)


@pytest.mark.parametrize("beat", [watch.BEAT, 60.0])
def test_connections_that_would_be_cut_in_silence_are_kept_alive(
    ingestion: Ingestion, reader: Database, server: Server, bucket: Path, monkeypatch: pytest.MonkeyPatch, beat: float
) -> None:
    monkeypatch.setattr(watch, "BEAT", beat)
    monkeypatch.setattr(spark_io, "FETCH_SIZE", 1)  # so that the reader itself is never silent for long
    with proxy(lambda _: reader.port, patience=5) as cutting:
        through = replace(reader, port=cutting.port)
        if beat == watch.BEAT and beat < 5:
            ingestion(through, SLOW)
            assert cutting.cut == 0
            assert manifests(bucket, SLOW)["2024-02"].rows == 10
        else:
            with pytest.raises(IngestionError, match=r"slow: .*the connection broke: did the server restart"):
                ingestion(through, SLOW)
            assert cutting.cut


END_SNAPSHOT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'connections'"
    " AND state = 'idle in transaction' AND backend_xmin IS NOT NULL"
)


def test_a_snapshot_that_is_lost_while_the_table_is_read_is_the_reason(
    ingestion: Ingestion, reader: Database, server: Server
) -> None:
    trigger = Trigger(server.dsn, (END_SNAPSHOT,))
    with while_reading(trigger, "plain"), pytest.raises(IngestionError) as raised:
        ingestion(reader, PLAIN, SLOW)
    trigger.finish()
    raised.match("2 of 2 tables failed: plain.*terminating connection due to administrator command.*somebody ended")
    assert "does not exist" not in str(raised.value)


def test_the_error_says_that_readers_reach_another_server_than_the_driver(
    ingestion: Ingestion, reader: Database, server: Server
) -> None:
    with new_server(embedded_programs()) as other, other.connect() as owner:
        owner.execute(_PREPARED)
        with proxy(lambda number: reader.port if number < 2 else other.database.port) as endpoint:
            message = "plain.*snapshot .*reached another server than the driver: give the host name of one instance"
            with pytest.raises(IngestionError, match=message):
                ingestion(replace(reader, port=endpoint.port), PLAIN)


def test_without_a_common_snapshot_the_months_are_ingested_without_a_state_and_the_log_says_why(
    ingestion: Ingestion,
    reader: Database,
    owner: psycopg.Connection[Any],
    bucket: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    owner.execute("REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC")
    try:
        ingestion(reader, PLAIN)
    finally:
        owner.execute("GRANT EXECUTE ON FUNCTION pg_export_snapshot() TO PUBLIC")
    found = manifests(bucket, PLAIN)["2024-02"]
    assert (found.rows, found.snapshot, found.source_state) == (10, None, None)
    assert "plain: months have no state of the source: the server exports no snapshot" in capfd.readouterr().out


def test_without_a_common_snapshot_a_small_table_is_read_in_the_transaction_that_counted_it(
    ingestion: Ingestion,
    reader: Database,
    owner: psycopg.Connection[Any],
    bucket: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, read = replace(PLAIN, name="few", slices=None), small_months.read

    def after_a_delete(*arguments: Any) -> Any:
        owner.execute("DELETE FROM connections.plain WHERE id > 5")
        return read(*arguments)

    monkeypatch.setattr(small_months, "read", after_a_delete)
    owner.execute("REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC")
    try:
        ingestion(reader, few)
    finally:
        owner.execute("GRANT EXECUTE ON FUNCTION pg_export_snapshot() TO PUBLIC")
        owner.execute("INSERT INTO connections.plain SELECT n, '2024-02-01' FROM generate_series(6, 10) n")
    found = manifests(bucket, few)["2024-02"]
    assert (found.rows, found.source_rows, found.snapshot) == (10, 10, None)


def test_the_error_about_too_few_connections_says_how_many_the_job_needs(
    ingestion: Ingestion, reader: Database, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("ALTER ROLE reader CONNECTION LIMIT 2")
    message = "plain.*too many connections for role.*the job needs two connections and one more for each task"
    with pytest.raises(IngestionError, match=message):
        ingestion(reader, PLAIN)


def test_a_session_that_somebody_ended_tells_the_first_reason_to_all_who_ask_later(
    spark: SparkSession, reader: Database, owner: psycopg.Connection[Any]
) -> None:
    with Connection.open(spark, reader, "ended") as connection:
        owner.execute("SELECT pg_terminate_backend(%s)", [connection.pid])
        with (
            pytest.raises(SourceError, match="terminating connection due to administrator command"),
            connection.undone(),
        ):
            pass
        for _ in range(2):
            with pytest.raises(ConnectionLostError, match="terminating connection due to administrator command"):
                connection.keep_alive()


@contextmanager
def counted_sessions(owner: psycopg.Connection[Any]) -> Iterator[list[int]]:
    """How many sessions the job has, looked at again and again."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND datname IS NOT NULL"
    ended, seen = threading.Event(), [0]

    def count() -> None:
        while not ended.wait(0.005):
            seen.extend(number for (number,) in owner.execute(query).fetchall())

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        try:
            yield seen
        finally:
            ended.set()
            counting.result()


@pytest.mark.parametrize(("limit", "at_a_time"), [(4, None), (8, 2), (-1, 5)])
def test_tables_are_ingested_side_by_side_as_far_as_the_role_may_connect(
    ingestion: Ingestion,
    reader: Database,
    owner: psycopg.Connection[Any],
    bucket: Path,
    capfd: pytest.CaptureFixture[str],
    limit: int,
    at_a_time: int | None,
) -> None:
    owner.execute(f"ALTER ROLE reader CONNECTION LIMIT {limit}".encode())
    tables = [replace(PLAIN, name=f"plain{number}_{limit}") for number in range(5)]
    with counted_sessions(owner) as seen:
        ingestion(reader, *tables)
    assert all(manifests(bucket, each)["2024-02"].rows == 10 for each in tables)
    told = capfd.readouterr().out
    assert ("at a time" in told, f"5 tables, {at_a_time} at a time" in told) == (at_a_time is not None,) * 2
    most = 2 + 2 + 2 * (at_a_time or 0)  # locks and snapshot, a reader for each core, two for each table
    assert 3 <= max(seen) <= most


def test_where_the_server_lets_fewer_sessions_in_than_it_says_fewer_tables_are_ingested_at_a_time(
    ingestion: Ingestion,
    reader: Database,
    owner: psycopg.Connection[Any],
    bucket: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(workers, "room", lambda _: None)
    owner.execute("ALTER ROLE reader CONNECTION LIMIT 2")
    with pytest.raises(IngestionError, match=r"2 of 2 tables failed: plain.*too many connections for role.*; other"):
        ingestion(reader, PLAIN, replace(PLAIN, name="other"))
    assert capfd.readouterr().out.count("one table fewer at a time: cannot connect to") == 2


def test_a_password_that_is_rotated_while_the_job_runs_is_read_again(
    ingestion: Ingestion, reader: Database, server: Server, bucket: Path
) -> None:
    trigger = Trigger(server.dsn, ("ALTER ROLE reader PASSWORD 'second'",))
    with while_reading(trigger, "plain"):
        ingestion(reader, PLAIN, read_secret=lambda: replace(reader, password="second"))
    trigger.finish()
    assert manifests(bucket, PLAIN)["2024-02"].rows == 10


def test_a_password_that_is_wrong_in_the_secret_too_fails_the_table(
    ingestion: Ingestion, reader: Database, server: Server
) -> None:
    trigger = Trigger(server.dsn, ("ALTER ROLE reader PASSWORD 'second'",))
    with (
        while_reading(trigger, "plain"),
        pytest.raises(IngestionError, match=r"password authentication failed.*secret"),
    ):
        ingestion(reader, PLAIN, read_secret=lambda: reader)
    trigger.finish()
