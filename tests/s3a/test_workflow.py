"""Whole executions on S3A: state machine, spark-submit, Dagster's checks, and an execution that is stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import dagster as dg
import psycopg

from ingest_assets.aws import job_runs
from ingest_assets.aws.executions import Execution, follow
from ingest_assets.aws.stack import StackOutputs
from ingest_assets.checks.specs import CHECKS
from spark_scripts.contract import layout
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table, tables_from_json, tables_to_json
from tests.gates import closed_gate
from tests.integration import crashing
from tests.integration.drivers import until
from tests.integration.published import Run
from tests.integration.test_crashes import GATED, waiting
from tests.integration.test_dagster import Materializing
from tests.integration.test_workflow import DATES, MONTHS
from tests.integration.whole import differing, manifests, settle
from tests.s3a import mirror
from tests.s3a.conftest import Bucket

Session = boto3.session.Session
Source = psycopg.Connection[Any]


def started(session: Session, outputs: StackOutputs, request: object) -> str:
    client = session.client("stepfunctions")
    return client.start_execution(stateMachineArn=outputs.state_machine_arn, input=json.dumps(request))["executionArn"]


def ended(session: Session, arn: str) -> Execution:
    return follow(session.client("stepfunctions"), arn, lambda _: None, poll_seconds=0.3, deadline_seconds=240)


def test_a_full_ingest_of_the_sample_takes_every_month_whole(
    session: Session, outputs: StackOutputs, bucket: Bucket, source: Source
) -> None:
    execution = ended(session, started(session, outputs, {}))
    assert (execution.status, execution.cause) == ("SUCCEEDED", None)
    for name, (relation, local) in DATES.items():
        query = f"SELECT to_char({local}, 'YYYY-MM'), count(*) FROM {relation} WHERE isfinite({local}) GROUP BY 1"
        counted = dict(source.execute(query.encode()).fetchall())
        assert counted.keys() > {str(month) for month in MONTHS}
        table = Table(name, relation, local, "2023-01")
        found = manifests(bucket.of(table), table)
        assert {label: month.rows for label, month in found.items() if label != UNDATED.key} == counted
        assert {month.execution for month in found.values()} == {execution.name}
    assert mirror.objects(bucket.client, bucket.name, layout.LOGS_PREFIX)


def test_a_month_that_dagster_ingests_passes_all_its_checks(
    bucket: Bucket, source: Source, outputs: StackOutputs
) -> None:
    folder = layout.partition_prefix("orders", Month(2024, 2))
    bucket.client.put_object(Bucket=bucket.name, Key=folder, Body=b"")  # as S3A marks a directory
    with dg.DagsterInstance.ephemeral() as instance:
        dagster = Materializing(instance)
        result = dagster.run("orders", "2024-02")
        assert result.success, dagster.failure(result)
        [(month, metadata)] = dagster.months("orders").items()
        passed = {name: _passed(instance, name) for name in CHECKS}
    relation, local = DATES["orders"]
    query = f"SELECT count(*) FROM {relation} WHERE to_char({local}, 'YYYY-MM') = '2024-02'"
    assert source.execute(query.encode()).fetchone() == (metadata["dagster/partition_row_count"],)
    assert (month, metadata["dagster/uri"]) == ("2024-02", f"s3://{outputs.bucket_name}/{folder}")
    assert passed == {name: {"2024-02": True} for name in CHECKS}


def _passed(instance: dg.DagsterInstance, check: str) -> dict[str | None, bool]:
    """The results of a check, by month."""
    key = dg.AssetCheckKey(dg.AssetKey(["raw_layer", "orders"]), check)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    results = [record.evaluation for record in history]
    return {done.partition: done.passed for done in results if isinstance(done, dg.AssetCheckEvaluation)}


@contextmanager
def deployed(bucket: Bucket, table: Table) -> Iterator[None]:
    """The job knows `table` too."""
    client, name = bucket.client, bucket.name
    before = client.get_object(Bucket=name, Key=layout.TABLES_KEY)["Body"].read()
    tables = [*tables_from_json(before.decode()).values(), table]
    client.put_object(Bucket=name, Key=layout.TABLES_KEY, Body=tables_to_json(tables).encode())
    try:
        yield
    finally:
        client.put_object(Bucket=name, Key=layout.TABLES_KEY, Body=before)


def test_an_execution_that_is_stopped_while_spark_writes_leaves_the_months_as_they_were_and_the_next_mends_staging(
    session: Session, outputs: StackOutputs, bucket: Bucket, source: Source, run: Run
) -> None:
    settle(source)
    crashing.fill(source)
    run("before", GATED)
    before = _objects(bucket)
    assert len([key for key in before if "/run-before-" in key]) >= len(crashing.MONTHS)
    source.execute("UPDATE crash.many SET note = 'new ' || id")
    with deployed(bucket, GATED), closed_gate(source):
        arn = started(session, outputs, {"table": GATED.name, "months": [str(month) for month in crashing.MONTHS]})
        until(lambda: waiting(source, arn.rpartition(":")[2]))
        session.client("stepfunctions").stop_execution(executionArn=arn)
        until(lambda: _job_state(session, arn) == "CANCELLED")
    assert ended(session, arn).status == "ABORTED"
    assert _objects(bucket) == before
    print(f"\nleft in staging: {_staged(bucket)}")

    run("after", GATED)
    assert differing(source, bucket.of(GATED), GATED) == []
    assert _staged(bucket) == []
    assert bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []) == []
    source.execute("DROP SCHEMA crash CASCADE")


def _objects(bucket: Bucket) -> dict[str, bytes]:
    """The objects of the table's months, directory markers among them, and its manifests."""
    prefixes = (layout.table_prefix(GATED.name), layout.current_manifests_prefix(GATED.name))
    found = (mirror.objects(bucket.client, bucket.name, prefix) for prefix in prefixes)
    return {key: content for each in found for key, content in each.items()}


def _staged(bucket: Bucket) -> list[str]:
    return [key for key in mirror.objects(bucket.client, bucket.name, layout.STAGING) if f"/{GATED.name}/" in key]


def _job_state(session: Session, arn: str) -> str:
    found = job_runs.find(session.client("stepfunctions"), arn)
    assert found is not None
    assert found.job_run_id is not None
    emr = session.client("emr-serverless")
    return emr.get_job_run(applicationId=found.application_id, jobRunId=found.job_run_id)["jobRun"]["state"]
