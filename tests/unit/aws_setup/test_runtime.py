"""What `preflight` reports about the runtime of the last job."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.response import StreamingBody

from aws_setup.checks import runtime
from ingest_assets.aws.stack import Stack
from tests.unit.aws_setup.fakes import STACK_ID, FakeSession

LINE = "running on Python 3.9.20, boto3 1.34.0, Spark 3.5.8-amzn-0, Hadoop 3.4.1-amzn-3, s3:// by "
S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"
EMRFS = "com.amazon.ws.emr.hadoop.fs.EmrFileSystem"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
OUTPUTS = {"StateMachineArn": MACHINE, "BucketName": "lake"}
STACK = Stack(STACK_ID, "data-lake-ingestion", "CREATE_COMPLETE", NOW, {}, OUTPUTS)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


def executions(session: FakeSession, *names: str) -> None:
    """Newest first: step-functions/latest/apireference/API_ListExecutions.html."""
    fixed: dict[str, Any] = {"stateMachineArn": MACHINE, "status": "SUCCEEDED", "startDate": NOW}
    listed = [{"executionArn": f"arn:execution:{name}", "name": name, **fixed} for name in names]
    session.script("stepfunctions").add_response(
        "list_executions", {"executions": listed}, {"stateMachineArn": MACHINE, "maxResults": 5}
    )


def history(session: FakeSession, **ids: str) -> None:
    """The history of an execution that had these ids."""
    output = {"resourceType": "emr-serverless", "resource": "startJobRun.sync", "output": json.dumps(ids)}
    event = {"timestamp": NOW, "type": "TaskSubmitted", "id": 1, "taskSubmittedEventDetails": output}
    session.script("stepfunctions").add_response("get_execution_history", {"events": [event] if ids else []})


def log(session: FakeSession, text: str) -> None:
    content = gzip.compress(text.encode())
    body = StreamingBody(io.BytesIO(content), len(content))
    key = "logs/applications/00a/jobs/00b/SPARK_DRIVER/stdout.gz"
    session.script("s3").add_response("get_object", {"Body": body}, {"Bucket": "lake", "Key": key})


def told(session: FakeSession, stack: Stack | None = STACK) -> str:
    (found,) = runtime.check(session.typed, stack)
    session.assert_all_called()
    return f"{found.level}: {found.text}"


def test_the_log_of_the_last_job_says_what_it_ran_on(session: FakeSession) -> None:
    executions(session, "last", "older")
    history(session, ApplicationId="00a", JobRunId="00b")
    log(session, f"something of EMR's\n{LINE}{S3A}\nread 3 rows\n")
    assert told(session) == f"note: {LINE.removeprefix('running on ')}{S3A}"


def test_an_execution_without_a_job_is_skipped(session: FakeSession) -> None:
    executions(session, "refused", "without a log", "older")
    history(session)
    history(session, ApplicationId="00a", JobRunId="00b")
    session.script("s3").add_client_error("get_object", "NoSuchKey")
    history(session, ApplicationId="00a", JobRunId="00b")
    log(session, f"{LINE}{S3A}\n")
    assert told(session).endswith(S3A)


def test_emrfs_is_a_warning(session: FakeSession) -> None:
    executions(session, "last")
    history(session, ApplicationId="00a", JobRunId="00b")
    log(session, f"{LINE}{EMRFS}\n")
    found = told(session)
    assert found.startswith("warning: Python 3.9.20")
    assert found.endswith("deploy with a newer ReleaseLabel")


@pytest.mark.parametrize("stack", [None, Stack(STACK_ID, "s", "IMPORT_COMPLETE", NOW, {}, {})])
def test_before_the_first_deployment_nothing_is_known(session: FakeSession, stack: Stack | None) -> None:
    assert told(session, stack).startswith("note: the versions of Python, boto3 and Hadoop on EMR are known after")


def test_without_executions_the_versions_are_not_known_either(session: FakeSession) -> None:
    executions(session)
    assert told(session).startswith("note: the versions of Python")
