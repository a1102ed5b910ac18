"""Whole executions: the state machine, EMR Serverless, Spark, and the notifications, as on AWS."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from ingest_assets.aws.executions import Execution, follow
from ingest_assets.aws.stack import StackOutputs
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.tables import tables_from_json, tables_to_json
from spark_scripts.contract.wording import counted

Session = boto3.session.Session
MONTHS = [Month(2023, 1).plus(number) for number in range(24)]

DATES = {
    "mockrecord": ("public.mockrecord", "start_date_time"),
    "orders": ('sales."Orders"', "placed_at AT TIME ZONE 'America/Chicago'"),
}
"""The sample tables, and the local time that decides the month."""


class Workflow:
    """Starts executions and tells what became of them."""

    def __init__(self, session: Session, outputs: StackOutputs, bucket: Path) -> None:
        self.client = session.client("stepfunctions")
        self.emr = session.client("emr-serverless")
        self.sqs = session.client("sqs")
        self.outputs = outputs
        self.bucket = bucket

    def run(self, request: Any) -> tuple[Execution, list[str]]:
        """The ended execution and the states that it went through."""
        arn = self.client.start_execution(stateMachineArn=self.outputs.state_machine_arn, input=json.dumps(request))[
            "executionArn"
        ]
        states: list[str] = []
        execution = follow(
            self.client,
            arn,
            lambda change: states.append(change.state or change.text),
            poll_seconds=0.3,
            deadline_seconds=240,
        )
        return execution, states

    def messages(self, execution: Execution) -> dict[str, dict[str, Any]]:
        """The messages of the execution in the queue, by the way they came; they are taken off it."""
        found: dict[str, dict[str, Any]] = {}
        while answer := self.sqs.receive_message(QueueUrl=self.outputs.queue_url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in answer:
                self.sqs.delete_message(QueueUrl=self.outputs.queue_url, ReceiptHandle=message["ReceiptHandle"])
                way, body = unwrap(json.loads(message["Body"]))
                if body.get("execution_arn") == execution.arn:  # EventBridge tells of failures too
                    found[way] = body
        return found

    def manifest(self, name: str, partition: Partition) -> Manifest:
        return Manifest.from_json(
            (self.bucket / layout.current_manifest_key(name, partition)).read_text(encoding="utf-8")
        )

    def applications(self) -> list[str]:
        """The applications that have not been deleted."""
        applications = self.emr.list_applications()["applications"]
        return [application["name"] for application in applications if application["state"] != "TERMINATED"]


def unwrap(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return (
        (body["TopicArn"].rpartition(":")[2], json.loads(body["Message"])) if "TopicArn" in body else ("direct", body)
    )


@pytest.fixture(scope="module")
def workflow(session: Session, outputs: StackOutputs, bucket: Path) -> Workflow:
    return Workflow(session, outputs, bucket)


@pytest.fixture(scope="module")
def full_ingest(workflow: Workflow) -> tuple[Execution, list[str]]:
    return workflow.run({})


@pytest.fixture
def broken_table(bucket: Path) -> Iterator[str]:
    """A table in the deployed tables.json that PostgreSQL does not have."""
    file = bucket / layout.TABLES_KEY
    text = file.read_text(encoding="utf-8")
    tables = tables_from_json(text)
    nothing = type(tables["mockrecord"])("nothing", "public.nothing", "day", "2023-01")
    file.write_text(tables_to_json([nothing, *tables.values()]), encoding="utf-8")
    yield "nothing"
    file.write_text(text, encoding="utf-8")


def test_a_full_ingest_goes_through_the_states_of_the_seed(
    workflow: Workflow, full_ingest: tuple[Execution, list[str]]
) -> None:
    execution, states = full_ingest
    assert (execution.status, execution.cause) == ("SUCCEEDED", None)
    assert [state for state in states if state.startswith("EMR Serverless")] == [
        f"EMR Serverless {what}"
        for what in ("CreateApplication", "StartApplication", "StartJobRun", "StopApplication", "DeleteApplication")
    ]
    assert states.index("SuccessNotification") < states.index("SendMessageToSQS")
    assert workflow.applications() == []


@pytest.mark.parametrize("name", DATES)
@pytest.mark.usefixtures("full_ingest")
def test_a_full_ingest_takes_every_month_whole(workflow: Workflow, source: psycopg.Connection[Any], name: str) -> None:
    table, local = DATES[name]
    counted = dict(
        source.execute(
            f"SELECT to_char({local}, 'YYYY-MM'), count(*) FROM {table} WHERE isfinite({local}) GROUP BY 1".encode()
        ).fetchall()
    )
    assert counted.keys() > {str(month) for month in MONTHS}  # the sample goes on to the running month
    assert {month: workflow.manifest(name, Month.parse(month)).rows for month in counted} == counted
    query = f"SELECT count(*) FROM {table} WHERE {local} IS NULL OR NOT isfinite({local})"
    assert source.execute(query.encode()).fetchone() == (workflow.manifest(name, UNDATED).rows,)


@pytest.mark.usefixtures("full_ingest")
def test_the_files_of_a_full_ingest_hold_the_rows_of_the_manifests(workflow: Workflow) -> None:
    for partition in (Month(2024, 2), UNDATED):
        manifest = workflow.manifest("mockrecord", partition)
        rows = [row for file in manifest.files for row in read_csv(workflow.bucket / file.key)]
        assert len(rows) == manifest.rows == manifest.source_rows > 0
        assert all(set(row) == {column.name for column in manifest.columns} for row in rows)


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_a_success_is_told_by_the_topic_and_to_the_queue(
    workflow: Workflow, full_ingest: tuple[Execution, list[str]]
) -> None:
    execution, _ = full_ingest
    messages = workflow.messages(execution)
    assert set(messages) == {"StepFunctionDataPipelineNotification", "direct"}
    for message in messages.values():
        assert (message["status"], message["input"], message["source"]) == ("SUCCEEDED", {}, "state-machine")
        assert message["execution_name"] == execution.name
        assert message["application_id"]
        assert message["job_run_id"]
        assert re.fullmatch(
            r"mockrecord: \d+ months with [\d,]+ rows; orders: \d+ months with [\d,]+ rows", message["summary"]
        )


def test_a_refresh_ingests_the_one_month_that_changed(
    workflow: Workflow, full_ingest: tuple[Execution, list[str]], source: psycopg.Connection[Any]
) -> None:
    month, other = Month(2024, 2), Month(2024, 3)
    source.execute(
        "UPDATE mockrecord SET start_date_time = start_date_time WHERE ctid = (SELECT min(ctid) FROM mockrecord"
        " WHERE start_date_time BETWEEN '2024-02-02' AND '2024-02-27')"
    )
    execution, _ = workflow.run({"refresh": True, "table": "mockrecord"})
    assert execution.status == "SUCCEEDED"
    found = (workflow.bucket / layout.refresh_key(execution.name, "mockrecord")).read_text(encoding="utf-8")
    rows = workflow.manifest("mockrecord", month).rows
    refreshed = Refresh.from_json(found)
    assert refreshed.changed == {"2024-02": f"newer rows among {counted(rows, 'row')}"}
    messages = workflow.messages(execution)
    looked_at = len({*refreshed.unchanged, *refreshed.changed} - {UNDATED.key})
    assert {message["summary"] for message in messages.values()} == {f"mockrecord: 1 of {looked_at} months changed"}
    assert workflow.manifest("mockrecord", month).execution == execution.name
    assert workflow.manifest("mockrecord", other).execution == full_ingest[0].name


def test_a_broken_table_fails_the_execution_and_not_the_other_tables(workflow: Workflow, broken_table: str) -> None:
    request = {"scheduled_time": "2023-02-15T08:00:00Z", "trailing_months": 0}
    execution, states = workflow.run(request)
    assert execution.status == "FAILED"
    assert "1 of 3 tables failed: nothing: " in (execution.cause or "")
    assert states.index("EMR Serverless StopApplication") < states.index("FailureNotification")
    assert "SuccessNotification" not in states
    assert {workflow.manifest(name, Month(2023, 2)).execution for name in DATES} == {execution.name}
    messages = workflow.messages(execution)
    assert set(messages) == {"failurejob", "direct"}
    assert all(message["status"] == "FAILED" for message in messages.values())
    assert all("nothing" in message["cause"] for message in messages.values())
    assert workflow.applications() == []
