"""Refreshes by Dagster on the local account, and those that Dagster did not start, in one event log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
import dagster as dg
import psycopg
import pytest
from dagster_aws.s3 import S3Resource

from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.aws.messages import Notification
from ingest_assets.aws.stack import StackOutputs
from ingest_assets.checks.up_to_date import UP_TO_DATE
from ingest_assets.definitions import build_definitions
from ingest_assets.lineage.recorded_runs import RecordedRuns
from ingest_assets.lineage.recorder import Recorded, Recorder
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.tables import load_tables
from tests.integration.conftest import Account
from tests.integration.test_dagster import Materializing

TABLE = "mockrecord"
ASSET = raw_layer_key(TABLE)

Record = Callable[[dict[str, Any]], list[Recorded]]


@pytest.fixture(scope="module")
def instance(account: Account) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="module")
def refreshed(instance: dg.DagsterInstance) -> Materializing:
    """Every month of the table is in the raw layer as it is in the source."""
    dagster = Materializing(instance)
    assert dagster.refresh(TABLE).success
    return dagster


@pytest.fixture
def record(instance: dg.DagsterInstance, session: boto3.session.Session, outputs: StackOutputs) -> Record:
    """Run an execution with this input, which Dagster does not start, and record it as the sensor does."""
    account = AwsAccount()
    raw_layer = RawLayerResource(account=account, s3=S3Resource())
    client = session.client("stepfunctions")

    def run(request: dict[str, Any]) -> list[Recorded]:
        started = client.start_execution(stateMachineArn=outputs.state_machine_arn, input=json.dumps(request))
        arn, deadline = started["executionArn"], time.monotonic() + 120
        while client.describe_execution(executionArn=arn)["status"] == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.3)
        status: Any = client.describe_execution(executionArn=arn)["status"]
        runs = RecordedRuns(instance, build_definitions().get_repository_def(), None, "sensor")
        tables = {table.name: table for table in load_tables()}
        recorder = Recorder(instance, tables, raw_layer, account, runs)
        return recorder.record(Notification(status, arn, request), None)

    return run


def touch(source: psycopg.Connection[Any], *months: str) -> None:
    """Write a row of each month again, as it is: only its transaction is another one."""
    for month in months:
        source.execute(
            "UPDATE public.mockrecord SET start_date_time = start_date_time WHERE ctid ="
            " (SELECT min(ctid) FROM public.mockrecord WHERE to_char(start_date_time, 'YYYY-MM') = %s)",
            [month],
        )


def materialized(instance: dg.DagsterInstance, run_id: str) -> list[str | None]:
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [entry.get_dagster_event().partition for entry in entries]


def observed(instance: dg.DagsterInstance) -> Sequence[dg.AssetObservation]:
    records = instance.fetch_observations(ASSET, limit=100).records
    return [record.asset_observation for record in records if record.asset_observation]


def up_to_date(instance: dg.DagsterInstance) -> tuple[bool, str]:
    """The newest result of the check."""
    key = dg.AssetCheckKey(ASSET, UP_TO_DATE)
    [newest] = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert isinstance(newest.evaluation, dg.AssetCheckEvaluation)
    return newest.evaluation.passed, newest.evaluation.description or ""


def test_a_refresh_materialises_the_months_that_changed_and_a_second_one_none(
    refreshed: Materializing, source: psycopg.Connection[Any]
) -> None:
    instance = refreshed.instance
    every = len(RawLayerResource(account=AwsAccount(), s3=S3Resource()).months(TABLE))
    assert every > 10
    before = len(observed(instance))
    touch(source, "2024-02", "2024-05")
    first = refreshed.refresh(TABLE)
    assert first.success
    assert materialized(instance, first.run_id) == ["2024-02", "2024-05"]
    assert observed(instance)[0].description == f"2 of {every} months changed"
    assert up_to_date(instance)[0]
    second = refreshed.refresh(TABLE)
    assert second.success
    assert materialized(instance, second.run_id) == []
    assert observed(instance)[0].description == f"0 of {every} months changed"
    assert len(observed(instance)) == before + 2
    passed, text = up_to_date(instance)
    assert passed
    assert text.startswith(f"All {every} months are as in the source, as of ")


def test_a_refresh_that_dagster_did_not_start_is_recorded_likewise_and_a_look_fails_the_check(
    refreshed: Materializing, source: psycopg.Connection[Any], record: Record
) -> None:
    instance = refreshed.instance
    touch(source, "2024-03")
    recorded = record({"refresh": True, "table": TABLE})
    assert [each.ingested for each in recorded if each.ingested] == [["2024-03"]]
    [run] = instance.get_runs(dg.RunsFilter(tags={"ingest/started_by": "Step Functions"}))
    assert materialized(instance, run.run_id) == ["2024-03"]
    observations = len(observed(instance))
    assert (observed(instance)[0].description or "").startswith("1 of ")
    assert up_to_date(instance)[0]

    touch(source, "2024-04")
    assert record({"refresh": True, "table": TABLE, "dry_run": True})
    assert len(observed(instance)) == observations
    assert len(instance.get_runs(dg.RunsFilter(tags={"ingest/started_by": "Step Functions"}))) == 1
    passed, text = up_to_date(instance)
    assert not passed
    assert "2024-04 (newer rows among " in text
    assert refreshed.run(TABLE, "2024-04").success
    assert up_to_date(instance)[0]
