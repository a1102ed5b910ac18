"""Follow an execution of the state machine, for people at a terminal and for Dagster's event log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from botocore.exceptions import ClientError

from spark_scripts.errors import IngestionError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import HistoryEventTypeDef

ExecutionStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]


_CONSISTENT_SECONDS = 10.0


class UnknownStatusError(IngestionError):
    """AWS answered with an execution status that this release does not know."""


@dataclass(frozen=True)
class Execution:
    """What DescribeExecution says of an execution. `error` and `cause` are None unless it failed."""

    arn: str
    name: str
    status: ExecutionStatus
    input: str
    error: str | None
    cause: str | None

    @property
    def running(self) -> bool:
        """Whether the execution has not ended."""
        return self.status == "RUNNING"


@dataclass(frozen=True)
class StateChange:
    """A line of an execution's history worth telling: a task entered or failed, the end."""

    event_id: int
    at: datetime
    text: str


def describe(client: SFNClient, arn: str) -> Execution:
    """The execution as it is now. Raises UnknownStatusError for a status outside ExecutionStatus."""
    answer = client.describe_execution(executionArn=arn)
    if answer["status"] not in get_args(ExecutionStatus):
        raise UnknownStatusError(f"execution {arn} has the unknown status {answer['status']}")
    return Execution(
        arn=arn,
        name=answer["name"],
        status=answer["status"],
        input=answer.get("input", "{}"),
        error=answer.get("error"),
        cause=answer.get("cause"),
    )


def follow(
    client: SFNClient,
    arn: str,
    on_change: Callable[[StateChange], None],
    *,
    poll_seconds: float = 1.0,
    deadline_seconds: float | None = None,
) -> Execution:
    """Call `on_change` for every change until the execution has ended, and return it.

    Raises TimeoutError when it is still running after `deadline_seconds`; the execution then goes on.
    """
    started = time.monotonic()
    last_event = 0
    while True:
        # Before the history, so that the last changes are never missed.
        execution = _known(client, arn) if last_event == 0 else describe(client, arn)
        for change in state_changes(client, arn, after=last_event):
            on_change(change)
            last_event = change.event_id
        if not execution.running:
            return execution
        if deadline_seconds is not None and time.monotonic() - started > deadline_seconds:
            raise TimeoutError(f"execution {execution.name} still runs after {deadline_seconds:.0f} s")
        time.sleep(poll_seconds)


def _known(client: SFNClient, arn: str) -> Execution:
    """The execution. DescribeExecution is eventually consistent: it may not know at once what was started."""
    deadline = time.monotonic() + _CONSISTENT_SECONDS
    while True:
        try:
            return describe(client, arn)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist" or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def state_changes(client: SFNClient, arn: str, after: int = 0) -> list[StateChange]:
    """The changes since the history event with the id `after`, oldest first."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"] if event["id"] > after]
    told = [(event, _text(event)) for event in sorted(events, key=lambda event: event["id"])]
    return [StateChange(event["id"], event["timestamp"], text) for event, text in told if text is not None]


def _text(event: HistoryEventTypeDef) -> str | None:
    kind = event["type"]
    if kind == "TaskStateEntered":
        return event["stateEnteredEventDetails"]["name"]
    if kind == "TaskFailed":
        details = event["taskFailedEventDetails"]
        return f"{details.get('resource', 'task')} failed: {details.get('error', '')}"
    if kind == "TaskTimedOut":
        return f"{event['taskTimedOutEventDetails'].get('resource', 'task')} timed out"
    if kind in ("ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"):
        return kind
    return None
