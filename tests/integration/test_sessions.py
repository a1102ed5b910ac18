"""No setting of the role or the database ends an ingestion or hides rows; on PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.tables import Table
from tests.integration.published import Run, read_csv
from tests.integration.servers import Server, database_of, embedded_programs, new_server
from tests.integration.whole import manifests

PASSWORD = "of the reader"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server(embedded_programs()) as server, server.connect() as owner:
        owner.execute(
            f"""
            CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
            CREATE SCHEMA sessions; GRANT USAGE ON SCHEMA sessions TO reader;
            CREATE TABLE sessions.tenants AS SELECT n AS id, DATE '2024-02-01' + n % 20 AS at, chr(97 + n % 2) AS tenant
                FROM generate_series(1, 100) n;
            CREATE VIEW sessions.slow AS SELECT id, at, pg_sleep(0.003)::text AS note FROM sessions.tenants;
            GRANT SELECT ON ALL TABLES IN SCHEMA sessions TO reader;
            """.encode()
        )
        yield server


@pytest.fixture
def owner(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with server.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def database(server: Server) -> Database:
    """The source of `run`, as a role that is not the owner."""
    return database_of(server.dsn, user="reader", password=PASSWORD)


def rows(bucket: Path, table: Table) -> int:
    return sum(month.rows for month in manifests(bucket, table).values())


HOSTILE = {
    "statement_timeout": "50ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "50ms",
    "idle_session_timeout": "50ms",
    "transaction_timeout": "100ms",
    "default_transaction_isolation": "read uncommitted",
    "default_transaction_read_only": "on",
    "row_security": "on",
}


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_no_limit_of_the_role_ends_an_ingestion(
    run: Run, bucket: Path, owner: psycopg.Connection[Any], file_format: str
) -> None:
    slow = Table(f"slow_{file_format}", "sessions.slow", "at", "2024-01", format=file_format, slice_by="none")
    for name, value in HOSTILE.items():
        owner.execute(f"ALTER ROLE reader SET {name} = '{value}'".encode())
    try:
        run("limits", slow)
    finally:
        owner.execute("ALTER ROLE reader RESET ALL")
    assert rows(bucket, slow) == 100


@pytest.fixture
def policy(owner: psycopg.Connection[Any]) -> Iterator[None]:
    owner.execute(
        "ALTER TABLE sessions.tenants ENABLE ROW LEVEL SECURITY;"
        " CREATE POLICY only_a ON sessions.tenants USING (tenant = 'a')"
    )
    yield
    owner.execute("DROP POLICY only_a ON sessions.tenants; ALTER TABLE sessions.tenants DISABLE ROW LEVEL SECURITY")


TENANTS = Table("tenants", "sessions.tenants", "at", "2024-01")


@pytest.mark.usefixtures("policy")
def test_a_table_whose_policies_would_hide_rows_is_refused_and_the_error_says_what_to_grant(run: Run) -> None:
    message = (
        "tenants: .*query would be affected by row-level security policy.*"
        r"ALTER ROLE … BYPASSRLS, or set row_security: on in the table's entry"
    )
    with pytest.raises(IngestionError, match=message):
        run("policies", TENANTS)


@pytest.mark.usefixtures("policy")
def test_a_readers_view_over_a_table_with_policies_is_refused_as_well(run: Run, owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "CREATE VIEW sessions.mine WITH (security_invoker) AS TABLE sessions.tenants;"
        " GRANT SELECT ON sessions.mine TO reader"
    )
    with pytest.raises(IngestionError, match="query would be affected by row-level security policy"):
        run("policies", Table("mine", "sessions.mine", "at", "2024-01"))
    owner.execute("DROP VIEW sessions.mine")


@pytest.mark.usefixtures("policy")
def test_an_entry_may_ask_for_the_rows_that_policies_show_and_the_manifest_says_so(run: Run, bucket: Path) -> None:
    shown = Table("shown", "sessions.tenants", "at", "2024-01", row_security=True)
    run("policies", shown)
    month = manifests(bucket, shown)["2024-02"]
    assert (month.rows, month.row_security) == (50, True)
    assert {row[2] for row in read_csv(bucket, month)} == {"a"}


@pytest.mark.usefixtures("policy")
def test_a_role_that_bypasses_policies_reads_every_row(run: Run, bucket: Path, owner: psycopg.Connection[Any]) -> None:
    owner.execute("ALTER ROLE reader BYPASSRLS")
    try:
        run("policies", TENANTS)
    finally:
        owner.execute("ALTER ROLE reader NOBYPASSRLS")
    month = manifests(bucket, TENANTS)["2024-02"]
    assert (month.rows, month.row_security) == (100, False)
