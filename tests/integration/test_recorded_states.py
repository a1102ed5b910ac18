"""Every ingest records the state of its months in their manifests, through the job's own connection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract.database import Database
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.source_state import SourceState, difference
from spark_scripts.contract.tables import Table
from spark_scripts.postgres import server_identity
from spark_scripts.postgres import source as job_source
from spark_scripts.postgres.connection import REPEATABLE_READ, Connection
from spark_scripts.postgres.server_identity import read_server, wait_flushed
from spark_scripts.postgres.source_state import read_table_state
from tests.integration.published import Run, manifest
from tests.integration.records import FEBRUARY, JANUARY
from tests.integration.refreshing import Session, relation_of, states


def test_the_states_over_jdbc_are_those_over_another_driver(
    spark: SparkSession, database: Database, run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    session = Session(source)
    session.begin()
    relation = relation_of(session, records)
    expected = states(session, read_server(session), records, relation)
    with Connection.open(spark, database, "e", REPEATABLE_READ) as connection:
        server = read_server(connection)
        found = read_table_state(connection, server, records, relation)
    source.execute("ROLLBACK")
    assert server.position
    assert found.of_month(0, "0").definition == {**expected[JANUARY.epoch_day].definition, "bounds": ""}
    run("first", records)
    recorded = {each: manifest(bucket, records, each).source_state for each in (JANUARY, FEBRUARY, UNDATED)}
    assert recorded == {each: expected[each.epoch_day] for each in recorded}


def test_only_a_month_whose_rows_changed_has_another_state(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    def found() -> dict[object, SourceState | None]:
        return {each: manifest(bucket, records, each).source_state for each in (JANUARY, FEBRUARY, UNDATED)}

    run("first", records)
    before = found()
    source.execute("UPDATE job.records SET note = 'corrected' WHERE id = (SELECT min(id) FROM job.records)")
    run("second", records, months=[JANUARY, FEBRUARY])
    changed = {each: state and difference(before[each], state) for each, state in found().items()}
    assert changed.pop(JANUARY) == f"newer rows among {manifest(bucket, records, JANUARY).rows} rows"
    assert changed == {FEBRUARY: None, UNDATED: None}


def test_a_month_without_rows_has_a_state(run: Run, records: Table, bucket: Path) -> None:
    empty = Month(2024, 5)
    run("first", records, months=[empty])
    run("second", records, months=[JANUARY])
    state = manifest(bucket, records, empty).source_state
    assert state is not None
    assert (state.rows, state.ids) == (0, "0")


def test_the_months_of_a_view_are_ingested_without_a_state_and_the_log_says_why_once(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    source.execute("CREATE VIEW job.seen AS SELECT * FROM job.records")
    view = replace(records, name="seen", table="job.seen")
    run("first", view)
    assert manifest(bucket, view, JANUARY).source_state is None
    assert manifest(bucket, view, JANUARY).rows
    assert capfd.readouterr().out.count("seen: months have no state of the source: job.seen is a view") == 1


def test_what_a_crash_could_lose_gets_no_state_and_the_server_is_asked_once(
    run: Run, records: Table, bucket: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_identity, "_FLUSHED", "SELECT '0' AS position")
    monkeypatch.setattr(job_source, "wait_flushed", partial(wait_flushed, seconds=0))
    run("first", records)
    assert [manifest(bucket, records, each).source_state for each in (JANUARY, FEBRUARY)] == [None, None]
    assert capfd.readouterr().out.count("did not flush, within 0 s, the WAL that the snapshot rests on") == 1
