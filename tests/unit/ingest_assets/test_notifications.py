from __future__ import annotations

import json
from typing import Any

import pytest

from ingest_assets.aws.messages import MessageError, Notification, parse
from tests.unit.ingest_assets.fakes import APPLICATION, EXECUTION, JOB, notification, status_change


def enveloped(document: dict[str, Any]) -> str:
    return json.dumps(
        {"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:failurejob", "Message": json.dumps(document)}
    )


@pytest.mark.parametrize("form", [json.dumps, enveloped])
def test_a_notification_is_the_same_by_topic_raw_or_direct(form: Any) -> None:
    body = form(notification("FAILED", error="States.TaskFailed", cause="no such column", requested_by="a-run"))
    found = parse(body)
    assert found == Notification(
        status="FAILED",
        execution_arn=EXECUTION,
        request={"table": "mockrecord", "months": ["2024-02"], "requested_by": "a-run"},
        application_id=APPLICATION,
        job_run_id=JOB,
        error="States.TaskFailed",
        cause="no such column",
    )
    assert (found.execution_name, found.requested_by) == ("n1", "a-run")


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_an_event_of_eventbridge_reports_the_end_of_an_execution(status: str) -> None:
    found = parse(json.dumps(status_change(status)))
    assert (found.status, found.execution_arn, found.source) == (status, EXECUTION, "eventbridge")
    assert found.request == {"table": "mockrecord", "months": ["2024-02"]}
    assert found.requested_by is None


def test_an_execution_that_runs_on_has_no_end() -> None:
    assert parse(json.dumps(status_change("RUNNING"))).status is None


def test_an_input_that_eventbridge_left_out_is_none() -> None:
    event = status_change("TIMED_OUT")
    event["detail"]["input"] = None
    assert parse(json.dumps(event)).request is None


def test_an_alert_of_dagster_is_about_no_execution() -> None:
    alert = {**notification("FAILED"), "execution_arn": None, "source": "dagster"}
    assert parse(json.dumps(alert)).source == "dagster"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("not json", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("{}", "is neither a notification of the state machine nor an event of Step Functions"),
        (json.dumps({**notification("FAILED"), "version": 2}), "has version 2, this release reads 1"),
        (json.dumps(notification("EXPLODED")), "has the unknown status 'EXPLODED'"),
        (json.dumps({**notification("FAILED"), "execution_arn": None}), r"names no execution \(None\)"),
        (json.dumps({**status_change("FAILED"), "detail": None}), "is an event without detail"),
        (json.dumps({"TopicArn": "a", "Message": "hello"}), "is not JSON"),
    ],
)
def test_a_message_of_something_else_is_an_error_that_says_what_it_is_not(body: str, error: str) -> None:
    with pytest.raises(MessageError, match=f"^{error}"):
        parse(body)
