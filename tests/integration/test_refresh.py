"""A refresh ingests what has changed, and leaves the rest of the raw layer as it is, through the whole job."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from spark_scripts.contract.months import UNDATED, Partition
from spark_scripts.contract.progress import Progress
from spark_scripts.contract.refresh import Findings, Refresh
from spark_scripts.contract.tables import Table
from spark_scripts.ingestion import reading
from spark_scripts.lake.publish import lock_key
from spark_scripts.lake.staging import Stage, Staged
from spark_scripts.locking.advisory import Locks
from spark_scripts.locking.hold import LockTimeoutError
from spark_scripts.postgres.counts import Count
from tests.integration.published import Run, manifest, objects, read_csv
from tests.integration.records import FEBRUARY, JANUARY, MARCH, NAUGHTY

ALL = (UNDATED, JANUARY, FEBRUARY)
NOT_BEFORE = "was not ingested before"


def findings(bucket: Path, execution: str, table: Table) -> Refresh:
    """What the refresh wrote down."""
    return Refresh.from_json((bucket / layout.refresh_key(execution, table.name)).read_text(encoding="utf-8"))


def kept(bucket: Path, table: Table, *partitions: Partition) -> dict[str, int]:
    """The files and manifests of partitions, with the times of their last changes."""
    found: dict[str, int] = {}
    for each in partitions:
        current = bucket / layout.current_manifest_key(table.name, each)
        found |= {**objects(bucket, table, each), str(current): current.stat().st_mtime_ns}
    return found


@pytest.fixture
def ingested(run: Run, records: Table, bucket: Path) -> Table:
    """The table, every month of which is in the raw layer as it is in the source."""
    run("before", records)
    for key in ("before", "after"):
        (bucket / layout.refresh_key(key, records.name)).unlink(missing_ok=True)
    return records


def test_a_refresh_of_an_unchanged_table_leaves_files_and_manifests_as_they_are(
    run: Run, ingested: Table, bucket: Path
) -> None:
    before = kept(bucket, ingested, *ALL)
    run("after", ingested, refresh=True)
    assert kept(bucket, ingested, *ALL) == before
    found = findings(bucket, "after", ingested)
    assert (found.changed, found.no_state, found.dry_run) == ({}, None, False)
    assert {each.key: found.unchanged[each.key] for each in ALL} == dict.fromkeys([each.key for each in ALL], "before")


def test_a_refresh_ingests_the_months_that_changed_with_the_reason_and_no_other(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    before = kept(bucket, ingested, FEBRUARY)
    rows = manifest(bucket, ingested, JANUARY).rows
    source.execute("DELETE FROM job.records WHERE id = 1")
    source.execute("INSERT INTO job.records (at, note) VALUES ('2024-03-31 23:59', 'late')")
    source.execute("UPDATE job.records SET note = 'sometimes' WHERE note = 'never'")
    run("after", ingested, refresh=True)
    assert kept(bucket, ingested, FEBRUARY) == before
    changed = findings(bucket, "after", ingested).changed
    assert changed["2024-01"] == f"rows {rows} → {rows - 1}"
    assert changed["undated"] == "newer rows among 2 rows"
    assert {key for key in changed if key in ("2024-01", "2024-02", "2024-03")} == {"2024-01", "2024-03"}
    found = [manifest(bucket, ingested, each) for each in (JANUARY, MARCH, UNDATED)]
    assert [(each.execution, each.rows) for each in found] == [("after", rows - 1), ("after", 1), ("after", 2)]
    assert sorted(row[2] for row in read_csv(bucket, found[2])) == ["always", "sometimes"]
    progress = Progress.from_json((bucket / layout.progress_key("after")).read_text(encoding="utf-8"))
    assert any(" months changed, and the rows without a month" in line for line in progress.lines)
    source.execute("DELETE FROM job.records WHERE at >= '2024-03-01'")
    run("later", ingested, refresh=True)
    assert findings(bucket, "later", ingested).changed == {"2024-03": "rows 1 → 0"}
    assert (manifest(bucket, ingested, MARCH).rows, objects(bucket, ingested, MARCH)) == (0, {})


def test_a_refresh_of_named_months_looks_at_no_other(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("UPDATE job.records SET note = 'new' WHERE id IN (1, 20)")
    before = kept(bucket, ingested, FEBRUARY)
    run("after", ingested, months=[JANUARY], refresh=True)
    assert kept(bucket, ingested, FEBRUARY) == before
    found = findings(bucket, "after", ingested)
    assert (set(found.changed), set(found.unchanged)) == ({"2024-01"}, {"undated"})
    run("by name", ingested, months=[JANUARY])
    assert manifest(bucket, ingested, JANUARY).execution == "by name"  # changed or not


@pytest.mark.parametrize("damage", ["no file", "half a file", "no manifest"])
def test_a_month_that_is_not_whole_in_the_raw_layer_is_ingested_again(
    run: Run, ingested: Table, bucket: Path, damage: str
) -> None:
    file = bucket / manifest(bucket, ingested, JANUARY).files[0].key
    if damage == "no file":
        file.unlink()
    elif damage == "half a file":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        (bucket / layout.current_manifest_key(ingested.name, JANUARY)).unlink()
    before = kept(bucket, ingested, FEBRUARY, UNDATED)
    run("after", ingested, refresh=True)
    assert kept(bucket, ingested, FEBRUARY, UNDATED) == before
    [(month, reason)] = findings(bucket, "after", ingested).changed.items()
    assert month == "2024-01"
    assert reason == NOT_BEFORE if damage == "no manifest" else "is not there with its" in reason
    assert len(read_csv(bucket, manifest(bucket, ingested, JANUARY))) == len(NAUGHTY)


def test_a_refresh_deletes_what_a_killed_execution_left_in_an_unchanged_month(
    run: Run, ingested: Table, bucket: Path
) -> None:
    before = kept(bucket, ingested, JANUARY)
    left = bucket / layout.partition_prefix(ingested.name, JANUARY) / "run-killed-part.csv"
    left.write_text("id\n1\n", encoding="utf-8")
    run("looked", ingested, refresh=True, dry_run=True)
    assert left.exists()
    run("after", ingested, refresh=True)
    assert kept(bucket, ingested, JANUARY) == before


def test_a_dry_run_says_what_a_refresh_would_ingest_and_ingests_nothing(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("UPDATE job.records SET note = 'new' WHERE id = 1")
    before = kept(bucket, ingested, *ALL)
    run("looked", ingested, refresh=True, dry_run=True)
    assert kept(bucket, ingested, *ALL) == before
    found = findings(bucket, "looked", ingested)
    assert found.dry_run
    assert list(found.changed) == ["2024-01"]
    assert not (bucket / layout.execution_manifest_key("looked", ingested.name, JANUARY)).exists()


def test_what_is_known_of_a_table_is_the_last_look_at_each_month(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any], spark: SparkSession, database: Database
) -> None:
    def known() -> dict[str, tuple[str, str | None]]:
        text = (bucket / layout.findings_key(ingested.name)).read_text(encoding="utf-8")
        return {key: (look.execution, look.reason) for key, look in Findings.from_json(text).looks.items()}

    run("after", ingested, refresh=True)
    assert {known()[each.key] for each in ALL} == {("after", None)}
    source.execute("UPDATE job.records SET note = 'new' WHERE at < '2024-02-01' OR note = 'never'")
    run("looked", ingested, months=[JANUARY], refresh=True, dry_run=True)
    newer = f"newer rows among {len(NAUGHTY)} rows"
    expected = {"2024-01": ("looked", newer), "2024-02": ("after", None)}
    assert {key: known()[key] for key in expected} == expected
    with Locks.taken(spark, database, "backfill", [lock_key(bucket.name, ingested.name)]):
        run("skipped", ingested, refresh=True)
    assert {key: known()[key] for key in expected} == expected
    (bucket / layout.findings_key(ingested.name)).write_text("of another release", encoding="utf-8")
    run("last", ingested, months=[JANUARY], refresh=True)
    assert known() == {"2024-01": ("last", newer), "undated": ("last", "newer rows among 2 rows")}
    text = (bucket / layout.findings_key(ingested.name)).read_text(encoding="utf-8")
    assert Findings.from_json(text).looks["2024-01"].ingested != manifest(bucket, ingested, JANUARY).finished


def test_a_refresh_skips_a_table_that_another_execution_writes_and_goes_on(
    spark: SparkSession, database: Database, run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE TABLE job.other AS SELECT * FROM job.records")
    other = replace(ingested, name="other", table="job.other")
    before = kept(bucket, ingested, *ALL)
    with Locks.taken(spark, database, "backfill", [lock_key(bucket.name, ingested.name)]):
        run("after", ingested, other, refresh=True)
    assert kept(bucket, ingested, *ALL) == before
    skipped = findings(bucket, "after", ingested)
    assert skipped.skipped is not None
    assert "is being written by execution backfill" in skipped.skipped
    assert (skipped.changed, skipped.unchanged) == ({}, {})
    assert manifest(bucket, other, JANUARY).execution == "after"


def test_of_two_refreshes_at_once_one_ingests_and_the_other_skips_the_table(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, both = Stage.write, threading.Barrier(2, timeout=60)

    def while_the_other_refreshes(*given: Any) -> list[Staged]:
        both.wait()  # the second refresh begins
        both.wait()  # and has ended
        return write(*given)

    monkeypatch.setattr(Stage, "write", while_the_other_refreshes)
    source.execute("UPDATE job.records SET note = 'new' WHERE id = 1")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run, "after", ingested, refresh=True)
        both.wait()
        run("second", ingested, refresh=True)
        both.wait()
        first.result(60)
    assert "is being written by execution after" in str(findings(bucket, "second", ingested).skipped)
    assert list(findings(bucket, "after", ingested).changed) == ["2024-01"]
    assert manifest(bucket, ingested, JANUARY).execution == "after"
    rows = read_csv(bucket, manifest(bucket, ingested, JANUARY))
    assert sum(row[2] == "new" for row in rows) == 1


def test_the_months_of_a_view_are_always_ingested_and_the_findings_say_why(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE VIEW job.seen AS SELECT * FROM job.records")
    view = replace(ingested, name="seen", table="job.seen")
    for execution in ("first", "second"):
        run(execution, view, refresh=True)
        assert manifest(bucket, view, JANUARY).execution == execution
    found = findings(bucket, "second", view)
    assert found.no_state is not None
    assert found.no_state.startswith("job.seen is a view")
    assert found.changed["2024-01"] == found.no_state


def test_a_refresh_does_not_empty_the_months_of_a_table_that_reads_as_empty(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    before = kept(bucket, ingested, *ALL)
    source.execute("TRUNCATE job.records")
    with pytest.raises(IngestionError, match=r"has no rows at all, but months of the raw layer have some"):
        run("after", ingested, refresh=True)
    assert kept(bucket, ingested, *ALL) == before
    run("allowed", replace(ingested, allow_empty=True), refresh=True)
    assert [manifest(bucket, ingested, each).rows for each in ALL] == [0, 0, 0]


def test_a_refresh_that_tries_again_keeps_the_reasons_and_the_months_of_its_first_attempt(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, read = Stage.write, []

    def interrupted(stage: Stage, counts: Sequence[Count], *rest: Any) -> list[Staged]:
        read.append([each.partition.key for each in counts])
        if len(read) == 2:
            raise LockTimeoutError("records: somebody wants the table")
        return write(stage, counts, *rest)

    monkeypatch.setattr(Stage, "write", interrupted)
    monkeypatch.setattr(reading, "BATCH_ROWS", 1)
    monkeypatch.setattr(ingest, "PAUSE", 0.1)
    by_date = replace(ingested, slice_by="date")
    source.execute("UPDATE job.records SET note = 'new' WHERE at >= '2024-01-01'")
    run("after", by_date, refresh=True)
    assert read == [["2024-01"], ["2024-02"], ["2024-02"]]
    found = findings(bucket, "after", ingested)
    assert found.changed == {key: f"newer rows among {len(NAUGHTY)} rows" for key in ("2024-01", "2024-02")}
    assert "undated" in found.unchanged
    assert [manifest(bucket, ingested, each).execution for each in (JANUARY, FEBRUARY)] == ["after", "after"]


def test_a_refresh_of_parquet_leaves_unchanged_months_as_they_are(
    run: Run, ingested: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    typed = replace(ingested, name="typed", format="parquet", verify="count")
    run("before", typed)
    before = kept(bucket, typed, FEBRUARY, UNDATED)
    source.execute("UPDATE job.records SET note = 'new' WHERE id = 1")
    run("after", typed, refresh=True)
    assert kept(bucket, typed, FEBRUARY, UNDATED) == before
    assert list(findings(bucket, "after", typed).changed) == ["2024-01"]
    run("as csv", replace(typed, format="csv"), refresh=True)
    assert findings(bucket, "as csv", typed).changed == dict.fromkeys(
        ["undated", "2024-01", "2024-02"], "entry in tables.yaml"
    )


def test_a_restart_of_the_server_changes_every_month_unless_the_entry_trusts_restarts(
    run: Run, ingested: Table, bucket: Path
) -> None:
    current = bucket / layout.current_manifest_key(ingested.name, JANUARY)
    document = json.loads(current.read_text(encoding="utf-8"))
    document["source_state"]["server"]["started"] = "2024-01-01 00:00:00"
    current.write_text(json.dumps(document), encoding="utf-8")
    run("trusting", replace(ingested, trust_restarts=True), refresh=True)
    assert findings(bucket, "trusting", ingested).changed == {}
    run("after", ingested, refresh=True)
    assert findings(bucket, "after", ingested).changed == {"2024-01": "the server was restarted"}
