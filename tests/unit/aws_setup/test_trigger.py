from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY

from aws_setup.commands import trigger
from ingest_assets.tables import TablesError, load_tables
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.tables import tables_to_json
from tests.unit.aws_setup.fakes import STACK_ID, FakeSession

OUTPUTS = {
    "BucketName": "lake",
    "QueueUrl": "q",
    "FailureTopicArn": "f",
    "StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:machine",
    "ScheduleName": "schedule",
    "DatabaseSecretArn": "d",
}
DEPLOYED = tables_to_json(spec.to_table() for spec in load_tables())
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:machine:by-hand"


@pytest.fixture
def session() -> FakeSession:
    session = FakeSession()
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS.items()]
    stack = {
        "StackId": STACK_ID,
        "StackName": "s",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": datetime.now(UTC),
        "Outputs": outputs,
    }
    session.script("cloudformation").add_response("describe_stacks", {"Stacks": [stack]})
    return session


def tables_are(session: FakeSession, document: str) -> None:
    body = StreamingBody(io.BytesIO(document.encode()), len(document.encode()))
    expected = {"Bucket": "lake", "Key": "config/tables.json"}
    session.script("s3").add_response("get_object", {"Body": body}, expected)


def test_without_an_input_the_execution_gets_the_schedules_with_the_time_filled_in(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"scheduled_time": "<aws.scheduler.scheduled-time>", "trailing_months": 10}'
    target = {"Arn": OUTPUTS["StateMachineArn"], "RoleArn": "arn:aws:iam::123456789012:role/r", "Input": text}
    session.script("scheduler").add_response(
        "get_schedule",
        {"Target": target, "State": "ENABLED", "ScheduleExpression": "cron(0 2 1 * ? *)"},
        {"Name": "schedule"},
    )
    tables_are(session, DEPLOYED)
    expected = {"stateMachineArn": OUTPUTS["StateMachineArn"], "name": ANY, "input": ANY}
    answer: dict[str, Any] = {"executionArn": EXECUTION, "startDate": datetime.now(UTC)}
    session.script("stepfunctions").add_response("start_execution", answer, expected)
    lines: list[str] = []
    started = trigger.start(session.typed, "s", None, lines.append)
    session.assert_all_called()
    assert started.name == "by-hand"
    sent = json.loads(lines[0].partition(" with ")[2])
    assert sent["trailing_months"] == 10
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sent["scheduled_time"])


def test_a_wrong_input_starts_nothing(session: FakeSession) -> None:
    tables_are(session, DEPLOYED)
    with pytest.raises(InvalidInputError, match="unknown table 'nothing'"):
        trigger.start(session.typed, "s", {"table": "nothing", "months": ["2024-02"]}, print)


def test_tables_that_were_not_deployed_start_nothing(session: FakeSession) -> None:
    tables_are(session, tables_to_json([]))
    with pytest.raises(TablesError, match="run `python -m aws_setup deploy`"):
        trigger.start(session.typed, "s", {}, print)


def test_a_bucket_without_tables_asks_for_a_deployment(session: FakeSession) -> None:
    session.script("s3").add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(TablesError, match="no tables are deployed: run `python -m aws_setup deploy`"):
        trigger.start(session.typed, "s", {}, print)
