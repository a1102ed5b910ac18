"""`suggest` where rights are missing, where tables are large or were never analysed, and where names are hostile."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aws_setup.onboarding import queries
from ingest_assets.tables import load_tables
from spark_scripts.contract.database import Database
from spark_scripts.postgres import server_identity
from tests.integration.published import Run
from tests.integration.servers import Server, database_of
from tests.integration.suggesting import databases, dsn_of, password_of, suggest
from tests.integration.whole import differing, manifests

Capture = pytest.CaptureFixture[str]

READER = 'read"er'
QUOTED = '"read""er"'
HOSTILE = [
    ("no", "null"),
    ("it's", 'the "date"'),
    ("line\nbreak", "when: then"),
    ("naïve 名前", "тогда # when"),
    ("- dash", "{brace}"),
    ("UPPER", "yes"),
    ("&anchor", "*alias"),
    ("1e5", "2024-02-30"),
    ("tab\there", "~"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with databases("rights", "sizes", "names") as server:
        with server.connect() as connection:
            role, password = sql.Identifier(READER), sql.Literal(password_of(server))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        yield server


@pytest.fixture
def database(server: Server) -> Database:
    """The source that `run` ingests from, in place of the account's."""
    return database_of(dsn_of(server, "names"))


def owner(server: Server, name: str) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn_of(server, name), autocommit=True)


@pytest.fixture(scope="module")
def rights(server: Server) -> None:
    with owner(server, "rights") as connection:
        connection.execute(
            'CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."order" (id int, at date NOT NULL);'
            "CREATE TABLE public.visits (id int, visited_on date); CREATE TABLE public.dateless (id int);"
            "CREATE TABLE public.own_rows (id int, made_on date);"
            "ALTER TABLE public.own_rows ENABLE ROW LEVEL SECURITY;"
            "CREATE TABLE public.columns_only (id int, added_on date); CREATE VIEW public.seen AS TABLE public.visits;"
            """INSERT INTO "My Shop"."order" VALUES (1, '2024-01-05'), (2, '2024-03-05');"""
            "INSERT INTO public.visits VALUES (1, '2024-02-05'); INSERT INTO public.own_rows VALUES (1, '2024-02-05');"
            "INSERT INTO public.columns_only VALUES (1, '2024-02-05'); ANALYZE;"
            f"GRANT SELECT ON public.own_rows TO {QUOTED}; GRANT SELECT (id) ON public.columns_only TO {QUOTED};"
            "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
        )


def test_what_the_user_lacks_can_be_pasted_and_then_nothing_is_lacking(
    server: Server, rights: None, capsys: Capture
) -> None:
    dsn = dsn_of(server, "rights", user=READER)
    before = suggest(capsys, dsn)
    assert before.rights == [
        f'GRANT USAGE ON SCHEMA "My Shop" TO {QUOTED};',
        f'GRANT SELECT ON "My Shop"."order" TO {QUOTED};',
        f"GRANT SELECT ON public.columns_only TO {QUOTED};",
        f"GRANT SELECT ON public.seen TO {QUOTED};",
        f"GRANT SELECT ON public.visits TO {QUOTED};",
        f"ALTER ROLE {QUOTED} BYPASSRLS;  -- policies hide rows of public.own_rows; or write the entry by hand, with"
        " row_security: on, to ingest only what they show",
        f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {QUOTED};  -- a refresh calls it",
    ]
    assert (before.code, before.file) == (1, "")
    assert 'Not proposed, no right to use the schema My Shop: "My Shop"."order"' in before.report
    with owner(server, "rights") as connection:
        connection.execute("\n".join(before.rights).encode())
    after = suggest(capsys, dsn)
    assert (after.code, after.rights) == (0, [])
    assert re.findall(r"^- (?:name: \w+\n  )?table: (.*)$", after.file, re.M) == [
        """'"My Shop"."order"'""",
        *("public.columns_only", "public.own_rows", "public.seen", "public.visits"),
    ]
    assert after.file == suggest(capsys, dsn_of(server, "rights")).file


def test_the_functions_that_the_user_is_asked_to_have_are_those_of_a_refresh() -> None:
    called = set(re.findall(r"\bpg_(?!is_in)\w+(?=\()", Path(server_identity.__file__).read_text()))
    named = set(re.findall(r"'(pg_\w+)'", queries.LACKING_FUNCTIONS)) - {"pg_catalog"}
    assert named == called - {"pg_control_checkpoint"}  # which a comment names


@pytest.fixture(scope="module")
def sizes(server: Server) -> int:
    """Tables of so many rows: one without an index, one with, one never analysed; each in the order of time."""
    rows = 60_000
    columns = "n AS id, timestamp '2023-01-01' + n * interval '10 minutes' AS created_at, repeat('x', 400) AS pad"
    series = f"FROM generate_series(1, {rows}) AS n"
    with owner(server, "sizes") as connection:
        connection.execute(f"CREATE TABLE plain AS SELECT {columns} {series}")
        connection.execute(f"CREATE TABLE ordered AS SELECT {columns} {series}; CREATE INDEX ON ordered (created_at)")
        connection.execute("ANALYZE plain; ANALYZE ordered")
        connection.execute("CREATE TABLE fresh WITH (autovacuum_enabled = off) AS TABLE plain")
        connection.execute("CREATE VIEW sorted AS SELECT * FROM plain ORDER BY pad, id")
    return rows


def rows_read(server: Server) -> dict[str, int]:
    """The rows that scans of each table have read so far, once all sessions but this one have ended and reported."""
    with owner(server, "sizes") as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'sizes' AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + 10
        while (connection.execute(others).fetchone() or (0,))[0] and time.monotonic() < deadline:
            time.sleep(0.05)
        return dict(connection.execute("SELECT relname, seq_tup_read FROM pg_stat_user_tables").fetchall())


def test_without_exact_no_table_is_read_whole(server: Server, sizes: int, capsys: Capture) -> None:
    before = rows_read(server)
    said = suggest(capsys, dsn_of(server, "sizes"))
    after = rows_read(server)
    assert {name: after[name] - before[name] for name in before if after[name] - before[name] > 2500} == {}
    suggest(capsys, dsn_of(server, "sizes"), "--table", "public.plain", "--exact")
    assert rows_read(server)["plain"] - after["plain"] >= 2 * sizes
    assert "public.sorted: view" in said.file
    assert "note: not sampled, because that may read much: --exact reads it" in said.file


def test_an_index_gives_the_first_and_the_last_month_exactly(server: Server, sizes: int, capsys: Capture) -> None:
    with owner(server, "sizes") as connection:
        connection.execute("INSERT INTO ordered VALUES (0, '2021-05-05'), (0, '0001-01-01'), (0, 'infinity')")
    said = suggest(capsys, dsn_of(server, "sizes"), "--table", "public.ordered", "--table", "public.plain")
    ordered = said.entry("public.ordered")
    assert "first_month: 2021-05\n" in ordered
    assert "some dates are in 0001-01, probably to say that they are unknown" in ordered
    assert "by PostgreSQL's statistics, which are a sample" in said.entry("public.plain")
    assert "by PostgreSQL's statistics" not in ordered


def test_a_column_that_was_not_analysed_says_so_until_all_rows_are_counted(
    server: Server, sizes: int, capsys: Capture
) -> None:
    said = suggest(capsys, dsn_of(server, "sizes"), "--table", "public.fresh")
    assert "not analysed: run ANALYZE, or suggest --exact" in said.entry("public.fresh").replace("\n#     ", " ")
    assert "by a sample, since the column was not analysed" in said.file
    exact = suggest(capsys, dsn_of(server, "sizes"), "--table", "public.fresh", "--exact")
    assert "not analysed" not in exact.file + exact.report
    assert f"public.fresh: {sizes:,} rows" in exact.file
    assert "first_month: 2023-01\n" in exact.file
    assert "at most 4,464 rows (" in exact.file.replace("\n#   ", " ")  # a row every ten minutes for 31 days


def test_a_locked_table_is_named_and_the_others_are_proposed(server: Server, sizes: int, capsys: Capture) -> None:
    with psycopg.connect(dsn_of(server, "sizes")) as other:
        other.execute("LOCK TABLE public.fresh")
        said = suggest(capsys, dsn_of(server, "sizes"), "--table", "public.fresh", "--table", "public.plain")
    assert (
        "Not proposed, PostgreSQL did not answer: canceling statement due to lock timeout: public.fresh" in said.report
    )
    assert said.entry("public.plain")


def test_hostile_names_come_back_from_the_file_and_their_rows_arrive(
    server: Server, run: Run, bucket: Path, tmp_path: Path, capsys: Capture
) -> None:
    with owner(server, "names") as connection:
        for table, column in HOSTILE:
            names = {"table": sql.Identifier("the: \n#schema", table), "column": sql.Identifier(column)}
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier("the: \n#schema")))
            connection.execute(sql.SQL("CREATE TABLE {table} ({column} date NOT NULL, email text)").format(**names))
            connection.execute(sql.SQL("INSERT INTO {table} VALUES ('2024-02-05', 'a@b.example')").format(**names))
    file = tmp_path / "tables.yaml"
    said = suggest(capsys, dsn_of(server, "names"), "--output", str(file))
    entries = {entry.source[1]: entry for entry in load_tables(file)}
    assert {name: entry.date_column for name, entry in entries.items()} == dict(HOSTILE)
    assert {entry.source[0] for entry in entries.values()} == {"the: \n#schema"}
    assert len(said.report.splitlines()) == len(HOSTILE) + 3
    uncommented = (
        file.read_text()
        .replace("  # columns:", "  columns:")
        .replace("  #   email: {hash: true}", "    email: {join: ','}")
    )
    file.write_text(uncommented)
    assert [set(entry.columns) for entry in load_tables(file)] == [{"email"}] * len(HOSTILE)
    worst = [entries[name].to_table() for name in ("line\nbreak", "it's")]
    run("hostile", *worst)
    with owner(server, "names") as source:
        assert [differing(source, bucket, table) for table in worst] == [[], []]
    assert [set(manifests(bucket, table)) for table in worst] == [{"2024-02", "undated"}] * 2


def test_what_extensions_own_and_children_of_other_tables_are_left_out(server: Server, capsys: Capture) -> None:
    with owner(server, "postgres") as connection:
        connection.execute(
            "CREATE SCHEMA internal; CREATE TABLE internal.chunk (at date); CREATE TABLE owned (at date);"
            "ALTER EXTENSION plpgsql ADD SCHEMA internal; ALTER EXTENSION plpgsql ADD TABLE owned;"
            "CREATE TABLE measured (at date, value int); CREATE TABLE measured_2024 () INHERITS (measured);"
            "INSERT INTO measured_2024 VALUES ('2024-03-05', 1); INSERT INTO measured VALUES ('2023-03-05', 1)"
        )
    said = suggest(capsys, dsn_of(server, "postgres"))
    assert re.findall(r"^- table: (.*)$", said.file, re.M) == ["public.measured"]
    assert "public.measured: 1 child table, 2 rows" in said.file
    assert "first_month: 2023-03\n" in said.file
    refused = suggest(capsys, dsn_of(server, "postgres"), "--table", "public.measured_2024")
    assert refused.report == "error: public.measured_2024 is a part of public.measured: give that table\n"
