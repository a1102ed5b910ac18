"""What PostgreSQL itself lets go of a dropped column: a role that may not read the column can ingest the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spark_scripts.contract.database import Database
from tests.integration.published import Run
from tests.integration.servers import Server, database_of, embedded_programs, new_server
from tests.integration.test_privacy import EXPECTED, PEOPLE, PEPPER, ROWS
from tests.integration.whole import execute, manifests

GRANTED = "email, id, name, phone, zip, mail, at, ref"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server(embedded_programs()) as server:
        with server.connect() as owner:
            execute(owner, ROWS)
            execute(owner, "CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT USAGE ON SCHEMA private TO clerk")
            execute(owner, f"GRANT SELECT ({GRANTED}) ON private.people TO clerk")
        yield server


@pytest.fixture(scope="module")
def database(server: Server) -> Database:
    """The source of `run`, in place of the local account's: as a role with grants on columns."""
    return replace(database_of(server.dsn, user="clerk", password="clerk"), pepper=PEPPER)


@pytest.mark.parametrize("slice_by", [None, "date"])
def test_the_job_needs_no_right_to_read_a_dropped_column(run: Run, bucket: Path, slice_by: str | None) -> None:
    table = replace(PEOPLE, name=f"granted_{slice_by}", slice_by=slice_by)
    run("granted", table)
    assert sum(each.rows for each in manifests(bucket, table).values()) == len(EXPECTED)
