from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from aws_setup.commands import dashboard
from aws_setup.errors import UsageError
from tests.unit.aws_setup.fakes import FakeSession
from tests.unit.aws_setup.test_trigger import EXECUTION, session

__all__ = ["session"]  # the fixture

JOB = {"applicationId": "00fapp", "jobRunId": "00fjob"}


def history(session: FakeSession, *, begun: bool) -> None:
    submitted = {
        "id": 1,
        "type": "TaskSubmitted",
        "timestamp": datetime.now(UTC),
        "taskSubmittedEventDetails": {
            "resourceType": "emr-serverless",
            "resource": "startJobRun.sync",
            "output": json.dumps({"ApplicationId": "00fapp", "JobRunId": "00fjob"}),
        },
    }
    answer: dict[str, Any] = {"events": [submitted] if begun else []}
    session.script("stepfunctions").add_response("get_execution_history", answer, {"executionArn": EXECUTION})


def test_the_address_is_asked_for_the_job_run_of_the_execution(session: FakeSession) -> None:
    history(session, begun=True)
    session.script("emr-serverless").add_response("get_dashboard_for_job_run", {"url": "https://ui"}, JOB)
    assert dashboard.address(session.typed, "s", "by-hand") == "https://ui"


def test_for_a_deleted_application_the_log_is_named(session: FakeSession) -> None:
    history(session, begun=True)
    session.script("emr-serverless").add_client_error("get_dashboard_for_job_run", "ResourceNotFoundException")
    with pytest.raises(
        UsageError, match=r"00fapp was deleted, .* s3://lake/logs/applications/00fapp/jobs/00fjob/SPARK_D"
    ):
        dashboard.address(session.typed, "s", "by-hand")


def test_an_execution_without_a_job_says_to_ask_again(session: FakeSession) -> None:
    history(session, begun=False)
    with pytest.raises(UsageError, match="execution by-hand has no Spark job yet"):
        dashboard.address(session.typed, "s", "by-hand")


def test_an_unknown_execution_is_named(session: FakeSession) -> None:
    session.script("stepfunctions").add_client_error("get_execution_history", "ExecutionDoesNotExist")
    with pytest.raises(UsageError, match="no execution named by-hand"):
        dashboard.address(session.typed, "s", "by-hand")
