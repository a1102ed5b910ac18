"""The data version of each month and the code version of the entry, and what Dagster shows with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from ingest_assets.definitions import build_definitions
from ingest_assets.tables import TableSpec, load_tables
from ingest_assets.versions import code_version, data_version
from spark_scripts.contract.manifest import Column
from tests.unit.ingest_assets.fakes import FakeAws, FakeExecution, manifest, notification
from tests.unit.ingest_assets.harness import KEY, Dagster
from tests.unit.ingest_assets.test_sensor import Queue

MONTHS = ("2024-01", "2024-02", "2024-03")
CONTENT = {month: f"content of {month}" for month in MONTHS}


@pytest.fixture
def queue(aws: FakeAws, dagster: Dagster) -> Queue:
    return Queue(aws, dagster.instance)


def table(**changes: object) -> TableSpec:
    return load_tables()[0].model_copy(update=changes)


def tags(instance: dg.DagsterInstance, month: str) -> dict[str, str]:
    """The tags of the newest materialisation of the month."""
    wanted = dg.AssetRecordsFilter(KEY, asset_partitions=[month])
    [record] = instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization
    return dict(record.asset_materialization.tags or {})


def versions(instance: dg.DagsterInstance) -> list[str]:
    return [tags(instance, month)["dagster/data_version"] for month in MONTHS]


def stale(instance: dg.DagsterInstance, key: dg.AssetKey, month: str) -> list[str]:
    """Why Dagster shows the month as unsynced; empty where it does not."""
    graph = build_definitions().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    causes = [cause.reason for cause in resolver.get_stale_causes(key, month)]
    assert (resolver.get_status(key, month) == StaleStatus.STALE) == bool(causes)
    return causes


def test_a_month_with_the_same_content_has_the_same_version_whoever_ingests_it_and_when() -> None:
    first = replace(manifest("2024-02", "n1"), content="abc")
    again = replace(manifest("2024-02", "n2"), content="abc", finished=datetime.now(UTC).isoformat())
    assert data_version(first, table()) == data_version(again, table(description="another", slices=7))


@pytest.mark.parametrize(
    "changed",
    [
        {"content": "abd"},
        {"columns": (Column("id", "bigint"), Column("questions", "text[]"))},
        {"columns": (Column("id", "integer"), Column("questions_list", "text[]"))},
        {"file_columns": (Column("id", "string"),)},
    ],
)
def test_other_rows_or_columns_are_another_version(changed: dict[str, object]) -> None:
    found = replace(manifest("2024-02", "n1"), content="abc")
    assert data_version(found, table()) != data_version(replace(found, **changed), table())  # type: ignore[arg-type]


def test_another_format_is_another_version_of_data_and_code() -> None:
    found = replace(manifest("2024-02", "n1"), content="abc")
    assert data_version(found, table()) != data_version(found, table(compression="gzip"))
    assert code_version(table()) != code_version(table(compression="gzip"))
    assert code_version(table()) == code_version(table(verify="content", summary=False, owners=[]))


def test_without_a_digest_of_the_content_each_execution_makes_a_version() -> None:
    one, other = manifest("2024-02", "n1"), manifest("2024-02", "n2")
    assert data_version(one, table()) == data_version(replace(one, rows=11), table()) != data_version(other, table())


def test_the_months_of_a_run_have_versions_of_their_own_that_stay(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next = FakeExecution(answers=[aws.commits(*MONTHS, content=CONTENT)])
    assert dagster.materialize("2024-01", "2024-03").success
    first = versions(dagster.instance)
    assert len(set(first)) == 3
    changed = {**CONTENT, "2024-02": "other"}
    aws.step_functions.next = FakeExecution(answers=[aws.commits(*MONTHS, content=changed)])
    assert dagster.materialize("2024-01", "2024-03").success
    second = versions(dagster.instance)
    assert [one == other for one, other in zip(first, second, strict=True)] == [True, False, True]
    assert tags(dagster.instance, "2024-01")["dagster/code_version"] == code_version(table())


def test_an_execution_that_dagster_did_not_start_gives_the_same_versions(
    aws: FakeAws, queue: Queue, dagster: Dagster
) -> None:
    aws.step_functions.next = FakeExecution(answers=[aws.commits(*MONTHS, content=CONTENT)])
    assert dagster.materialize("2024-01", "2024-03").success
    own = versions(queue.instance)
    for month in MONTHS:
        aws.s3.commit(month, "n2", content=CONTENT[month])
    aws.sqs.send(notification("SUCCEEDED", "n2", months=MONTHS))
    queue.tick()
    assert tags(queue.instance, "2024-02")["ingest/execution"] == "n2"
    assert versions(queue.instance) == own


def test_a_month_is_in_sync_until_its_entry_changes(
    aws: FakeAws, dagster: Dagster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.step_functions.next = FakeExecution(answers=[aws.commits(*MONTHS, content=CONTENT)])
    assert dagster.materialize("2024-01", "2024-03").success
    source = dg.AssetKey(["postgres", "public", "mockrecord"])
    dagster.instance.report_runless_asset_event(dg.AssetObservation(source))
    assert [stale(dagster.instance, KEY, month) for month in MONTHS] == [[], [], []]
    path = tmp_path / "tables.yaml"
    path.write_text("- {table: public.mockrecord, date_column: start_date_time, first_month: 2023-01, format: parquet}")
    monkeypatch.setenv("INGEST_TABLES", str(path))
    assert stale(dagster.instance, KEY, "2024-02") == ["has a new code version"]
