"""Follow an execution of the state machine, for people at a terminal and for Dagster's event log."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from botocore.exceptions import ClientError

from ingest_assets.aws.errors import error_code
from ingest_assets.aws.waiting import polls
from spark_scripts.contract.errors import DataLakeError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import HistoryEventTypeDef

ExecutionStatus = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"]


LONGEST_CAUSE = 2000  # characters; Step Functions gives up to 32,768
_CONSISTENT_SECONDS = 10.0

STATE_OF_JOB = "EMR Serverless StartJobRun"
"""The state of the state machine in which the Spark job runs."""
STATE_AFTER_JOB = "EMR Serverless StopApplication"
"""The state that follows the Spark job if the execution made its application."""

# The states of aws_setup/cloudformation/state_machine.asl.json that are tasks; a test compares them.
_STATES = {
    "EMR Serverless CreateApplication": "Creating an EMR Serverless application",
    "EMR Serverless StartApplication": "Starting the application",
    STATE_OF_JOB: "Running the Spark job",
    "List job runs": "Looking for job runs that have not ended",
    "EMR Serverless CancelJobRun": "Cancelling the Spark job",
    STATE_AFTER_JOB: "Stopping the application",
    "EMR Serverless DeleteApplication": "Deleting the application",
    "Read summary": "Reading what the job did",
    "SuccessNotification": "Publishing the success",
    "FailureNotification": "Publishing the failure",
    "SendMessageToSQS": "Sending the result to the queue",
}
_TASKS = {
    "createApplication": "The creation of the application",
    "startApplication": "The start of the application",
    "startJobRun": "The Spark job",
    "listJobRuns": "The search for job runs",
    "cancelJobRun": "The cancellation of the Spark job",
    "stopApplication": "The stop of the application",
    "deleteApplication": "The deletion of the application",
    "getObject": "The look at what the job did",
    "publish": "The message to the topic",
    "sendMessage": "The message to the queue",
}
_ENDS = {
    "ExecutionSucceeded": "The execution succeeded",
    "ExecutionFailed": "The execution failed",
    "ExecutionTimedOut": "The execution ran out of time",
    "ExecutionAborted": "The execution was aborted",
}


class UnknownStatusError(DataLakeError):
    """AWS answered with an execution status that this release does not know."""


@dataclass(frozen=True)
class Execution:
    """An execution as DescribeExecution returns it. `error` and `cause` are None unless it failed."""

    arn: str
    name: str
    status: ExecutionStatus
    input: str
    error: str | None
    cause: str | None
    started: datetime | None = None
    stopped: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether the execution has not ended."""
        return self.status == "RUNNING"


@dataclass(frozen=True)
class StateChange:
    """An event of an execution's history that users see: a task was entered or failed, or the execution ended.

    `state` is the name of the state that was entered, None for other events.
    """

    event_id: int
    at: datetime
    text: str
    failed: bool = False
    state: str | None = None


def shortened(text: str) -> str:
    """The first LONGEST_CAUSE characters of an error's text, with `…` if there are more."""
    return text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]}…"


def execution_arn(state_machine_arn: str, name: str) -> str:
    """The ARN that the execution with this name has or will have."""
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


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
        started=answer.get("startDate"),
        stopped=answer.get("stopDate"),
    )


def follow(
    client: SFNClient,
    arn: str,
    on_change: Callable[[StateChange], None],
    *,
    poll_seconds: float = 1.0,
    deadline_seconds: float = math.inf,
    on_look: Callable[[], None] = lambda: None,
) -> Execution:
    """Call `on_change` for every change until the execution has ended, and return it. Call `on_look` after each look.

    Raises TimeoutError when it is still running after `deadline_seconds`; the execution then goes on.
    """
    last_event = 0
    for _ in polls(seconds=deadline_seconds, pause=poll_seconds):
        # Described before the history is read, so that the last changes are never missed.
        execution = _known(client, arn) if last_event == 0 else describe(client, arn)
        for change in state_changes(client, arn, after=last_event):
            on_change(change)
            last_event = change.event_id
        on_look()
        if not execution.running:
            return execution
    raise TimeoutError(f"execution {arn.rpartition(':')[2]} still runs after {deadline_seconds:.0f} s")


def _known(client: SFNClient, arn: str) -> Execution:
    """Describe the execution. DescribeExecution is eventually consistent: it may not know a new execution at once."""
    for _ in polls(seconds=_CONSISTENT_SECONDS, pause=0.5):
        try:
            return describe(client, arn)
        except ClientError as error:
            if error_code(error) != "ExecutionDoesNotExist":
                raise
            unknown = error
    raise unknown


def state_changes(client: SFNClient, arn: str, after: int = 0) -> list[StateChange]:
    """The changes since the history event with the id `after`, oldest first."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"] if event["id"] > after]
    return [change for event in sorted(events, key=lambda event: event["id"]) if (change := _change(event))]


def _change(event: HistoryEventTypeDef) -> StateChange | None:
    number, at, kind = event["id"], event["timestamp"], event["type"]
    if kind == "TaskStateEntered":
        state = event["stateEnteredEventDetails"]["name"]
        return StateChange(number, at, _STATES.get(state, f"State {state}"), state=state)
    if kind == "TaskFailed":
        failed = event["taskFailedEventDetails"]
        text = f"{_task(failed.get('resource'))} failed ({failed.get('error', 'no error is known')})"
        return StateChange(number, at, text, failed=True)
    if kind == "TaskTimedOut":
        text = f"{_task(event['taskTimedOutEventDetails'].get('resource'))} timed out"
        return StateChange(number, at, text, failed=True)
    if kind in _ENDS:
        return StateChange(number, at, _ENDS[kind], failed=kind != "ExecutionSucceeded")
    return None


def _task(resource: str | None) -> str:
    """The name for users of a task, by its resource, such as `startJobRun.sync`."""
    action = (resource or "").partition(".")[0]
    return _TASKS.get(action, f"Task {resource}" if resource else "A task")
