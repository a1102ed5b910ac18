"""Notifications: the messages about ended executions, how they are written and in which forms they arrive.

`Notification` is the schema, for Dagster's alerts and for state_machine.asl.json, which a test compares with it. The
state machine publishes a notification to a topic and sends it to the queue itself, so that it arrives in an SNS
envelope, bare (also from a subscription with raw delivery), or both. EventBridge's "Step Functions Execution Status
Change" reports the executions that ended before they could send a notification
(https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from spark_scripts.contract.errors import InvalidInputError

Status = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
ENDED: tuple[Status, ...] = get_args(Status)

VERSION = 1
DAGSTER = "dagster"
"""The `source` of an alert that Dagster published."""
STATE_MACHINE = "state-machine"
"""The `source` of a notification that the state machine published."""

_STATUS_CHANGE = "Step Functions Execution Status Change"


class MessageError(InvalidInputError):
    """The message is neither a notification nor an event of Step Functions."""


@dataclass(frozen=True)
class Notification:
    """The end of an execution, or with `status` None a change of an execution that goes on.

    `execution_arn` is empty in an alert of Dagster's (`source`), which is about a run that started no execution.
    `request` is the execution's input. `error` and `cause` say why it failed, `cleanup_error` why its application could
    not be deleted. `summary` says what an execution that succeeded did, such as `orders: 2 of 48 months changed`.
    """

    status: Status | None
    execution_arn: str
    request: object
    application_id: str | None = None
    job_run_id: str | None = None
    error: str | None = None
    cause: str | None = None
    cleanup_error: str | None = None
    summary: str | None = None
    source: str = STATE_MACHINE

    def to_json(self) -> str:
        """The message, as the state machine writes it too; `parse` reads it."""
        document = {
            "version": VERSION,
            "status": self.status,
            "execution_arn": self.execution_arn or None,
            "execution_name": self.execution_name or None,
            "input": self.request,
            "application_id": self.application_id,
            "job_run_id": self.job_run_id,
            "error": self.error,
            "cause": self.cause,
            "cleanup_error": self.cleanup_error,
            "source": self.source,
            **({"summary": self.summary} if self.summary else {}),  # a failure has none
        }
        return json.dumps(document)

    @property
    def execution_name(self) -> str:
        """The execution's name, empty where there is no execution."""
        return self.execution_arn.rpartition(":")[2]

    @property
    def requested_by(self) -> str | None:
        """The id of the Dagster run that started the execution, None if no run did."""
        run_id = self.request.get("requested_by") if isinstance(self.request, Mapping) else None
        return run_id if isinstance(run_id, str) else None


def parse(body: str) -> Notification:
    """Read the body of a message in any of its forms. Raises MessageError, which says what is wrong with it."""
    document = _document(body)
    if "TopicArn" in document and isinstance(document.get("Message"), str):
        document = _document(document["Message"])
    if document.get("detail-type") == _STATUS_CHANGE:
        return _status_change(document)
    return _notification(document)


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise MessageError("is not JSON") from error
    if not isinstance(document, dict):
        raise MessageError("is not a JSON object")
    return document


def _notification(document: dict[str, Any]) -> Notification:
    if "version" not in document or "status" not in document:
        raise MessageError("is neither a notification of the state machine nor an event of Step Functions")
    if document["version"] != VERSION:
        raise MessageError(f"has version {document['version']!r}, this release reads {VERSION}")
    source = str(document.get("source"))
    return Notification(
        status=_ended(document["status"]),
        execution_arn="" if source == DAGSTER else _arn(document.get("execution_arn")),
        request=document.get("input"),
        application_id=document.get("application_id"),
        job_run_id=document.get("job_run_id"),
        error=document.get("error"),
        cause=document.get("cause"),
        cleanup_error=document.get("cleanup_error"),
        summary=document.get("summary"),
        source=source,
    )


def _status_change(document: dict[str, Any]) -> Notification:
    detail = document.get("detail")
    if not isinstance(detail, dict):
        raise MessageError("is an event without detail")
    status = detail.get("status")
    return Notification(
        status=None if status in ("RUNNING", "PENDING_REDRIVE") else _ended(status),
        execution_arn=_arn(detail.get("executionArn")),
        request=_input(detail.get("input")),
        error=detail.get("error"),
        cause=detail.get("cause"),
        source="eventbridge",
    )


def _input(text: object) -> object:
    """The execution's input; None where EventBridge left it out, as it does above 248 KiB."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _ended(status: object) -> Status:
    for known in ENDED:
        if status == known:
            return known
    raise MessageError(f"has the unknown status {status!r}")


def _arn(value: object) -> str:
    if not isinstance(value, str) or ":execution:" not in value:
        raise MessageError(f"names no execution ({value!r})")
    return value
