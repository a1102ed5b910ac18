"""Which tables have no state, with the reason; and that no search_path changes what a state is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from spark_scripts.contract.months import UNDATED
from spark_scripts.contract.tables import Table
from spark_scripts.postgres.server_identity import ASK_TO_FLUSH, NoStateError, read_server, wait_flushed
from spark_scripts.postgres.source_state import IDS, month_bounds, read_table_state
from spark_scripts.postgres.sql import DateColumn
from tests.integration.hostile import hostile_path
from tests.integration.refreshing import Session, relation_of, states
from tests.integration.servers import Server, embedded_programs, new_server

TABLE = Table("s", "s.t", "at", "2024-01")

UNFIT = {
    "CREATE VIEW s.t AS SELECT now() AS at": "s.t is a view, and its rows carry no transaction id",
    "CREATE TABLE s.t (at date) PARTITION BY RANGE (at); CREATE FOREIGN DATA WRAPPER w; CREATE SERVER f FOREIGN DATA"
    " WRAPPER w; CREATE FOREIGN TABLE s.f PARTITION OF s.t DEFAULT SERVER f": "s.f is a foreign table",
    "CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE s.t (at date) USING other": (
        "s.t has another access method than heap"
    ),
    "CREATE DOMAIN s.d AS regclass; CREATE TYPE s.c AS (a s.d[]); CREATE TABLE s.t (at date, c s.c)": (
        "column c: the type regclass is written with the names of other objects"
    ),
    "CREATE TABLE s.t (at date, c aclitem[])": "column c: the type aclitem is written with the names",
    "CREATE TYPE s.e AS ENUM ('x'); CREATE FUNCTION s.f(s.e) RETURNS text LANGUAGE sql AS 'SELECT ''y'''; CREATE CAST"
    " (s.e AS text) WITH FUNCTION s.f(s.e); CREATE TABLE s.t (at date, c s.e)": "has a cast to text that its owner may",
    "CREATE SCHEMA _timescaledb_internal; CREATE TABLE _timescaledb_internal.compress_hyper_1_2_chunk (x int);"
    " CREATE TABLE s.t (at date); CREATE TABLE _timescaledb_internal.chunk () INHERITS (s.t)": (
        "is a chunk of TimescaleDB, and this database compresses chunks"
    ),
}
CLEAN = (
    "DROP SCHEMA IF EXISTS s, _timescaledb_internal CASCADE; DROP FOREIGN DATA WRAPPER IF EXISTS w CASCADE;"
    " DROP ACCESS METHOD IF EXISTS other CASCADE; CREATE SCHEMA s"
)
PLAIN = "CREATE TABLE s.t AS SELECT '2024-01-05'::timestamp AS at, 5::money AS fee, int4range(1, 2) AS r, '{1}'::int[]"


@pytest.fixture(scope="module", params=["pginstall", "pginstall18"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with new_server(embedded_programs(request.param)) as server:
        yield server


@pytest.fixture
def owner(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with server.connect() as connection:
        connection.execute(CLEAN)
        yield connection


def state_of(connection: psycopg.Connection[Any], table: Table = TABLE) -> object:
    session = Session(connection)
    session.begin()
    relation = relation_of(session, table)
    return read_table_state(session, read_server(session), table, relation)


@pytest.mark.parametrize("made", UNFIT)
def test_a_table_that_cannot_tell_is_refused_with_the_reason(made: str, owner: psycopg.Connection[Any]) -> None:
    owner.execute(made.encode())
    with pytest.raises(NoStateError, match=UNFIT[made]):
        state_of(owner)


def test_row_security_leaves_no_state(owner: psycopg.Connection[Any]) -> None:
    owner.execute(PLAIN)
    assert state_of(owner)
    with pytest.raises(NoStateError, match="row_security is on"):
        state_of(owner, replace(TABLE, row_security=True))


def test_a_role_with_grants_on_columns_alone_is_told_what_to_grant(owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        f"{PLAIN}; DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT USAGE ON SCHEMA s TO reader".encode()
    )
    owner.execute("GRANT SELECT (at, fee, r, int4) ON s.t TO reader")
    owner.execute("SET ROLE reader")
    with pytest.raises(NoStateError, match="xmin: GRANT SELECT on the whole table"):
        state_of(owner)
    owner.execute("ROLLBACK; RESET ROLE; GRANT SELECT ON s.t TO reader; SET ROLE reader")
    assert state_of(owner)
    owner.execute("ROLLBACK; RESET ROLE; DROP OWNED BY reader; DROP ROLE reader")


def test_a_server_that_denies_its_functions_leaves_no_state(owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        f"{PLAIN}; DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT USAGE ON SCHEMA s TO reader".encode()
    )
    owner.execute("GRANT SELECT ON s.t TO reader; REVOKE EXECUTE ON FUNCTION pg_control_system FROM PUBLIC")
    owner.execute("SET ROLE reader")
    with pytest.raises(NoStateError, match=r"the server does not tell its identity: .*pg_control_system"):
        state_of(owner)
    owner.execute("ROLLBACK; RESET ROLE; GRANT EXECUTE ON FUNCTION pg_control_system TO PUBLIC")
    owner.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_no_search_path_changes_the_state_of_a_month(server: Server, owner: psycopg.Connection[Any]) -> None:
    owner.execute(PLAIN)

    def found() -> object:
        with server.connect() as connection:
            session = Session(connection)
            session.begin()
            ids = connection.execute("RESET search_path").execute(f"SELECT {IDS} FROM s.t".encode()).fetchall()
            session.begin()
            return ids, states(session, read_server(session), TABLE, relation_of(session, TABLE))

    before = found()
    with hostile_path(owner, "hostile, pg_catalog"):
        assert found() == before


def test_a_server_flushes_what_open_transactions_wrote_when_it_is_asked_to(
    server: Server, owner: psycopg.Connection[Any]
) -> None:
    with server.connect() as writer, server.connect() as reader, server.connect() as other:
        session = Session(reader)
        for _ in range(3):
            writer.execute("BEGIN; CREATE TEMP TABLE wal AS SELECT 1; SELECT txid_current(); CREATE TABLE s.u (x int)")
            session.begin()
            found = read_server(session)
            assert found.position
            wait_flushed(session, found, seconds=5, ask=lambda: ask_to_flush(other))
            writer.execute("ROLLBACK")


def test_the_bounds_of_months_hold_the_minutes_that_a_clock_shows_twice(owner: psycopg.Connection[Any]) -> None:
    session = Session(owner)
    session.begin()
    days = [14518, 14549, UNDATED.epoch_day]  # October and November 2009
    zoned = DateColumn("at", "timestamp with time zone", "America/St_Johns")
    found = month_bounds(session, zoned, days)
    assert found[UNDATED.epoch_day] == ""
    assert len(set(found.values())) == 3
    assert found != month_bounds(session, replace(zoned, timezone="America/Halifax"), days)
    assert set(month_bounds(session, replace(zoned, base_type="date"), days).values()) == {""}
    assert month_bounds(session, zoned, [10**8]) == {}


def ask_to_flush(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"BEGIN; {ASK_TO_FLUSH}; ROLLBACK".encode())
