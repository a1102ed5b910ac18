"""What the deployed stack is doing: schedule, executions, queues, and applications that cost money."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from aws_setup import stacks
from aws_setup.parameters import application_name
from ingest_assets.stack import StackError, StackOutputs

if TYPE_CHECKING:
    from boto3.session import Session

_EXECUTIONS = 5

ApplicationState = Literal["CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED"]
_NOT_DELETED: tuple[ApplicationState, ...] = ("CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED")


@dataclass(frozen=True)
class Schedule:
    """The EventBridge schedule. `input` is what it starts an execution with."""

    name: str
    state: str
    expression: str
    timezone: str
    input: str


@dataclass(frozen=True)
class ExecutionLine:
    """One of the last executions. `stopped` is None while it runs."""

    name: str
    status: str
    started: str
    stopped: str | None


@dataclass(frozen=True)
class Queue:
    """A queue and about how many messages wait in it or are being read."""

    url: str
    waiting: int
    in_flight: int


@dataclass(frozen=True)
class Application:
    """An EMR Serverless application of the state machine that has not been deleted.

    `left_over` says that no execution is running that could still delete it.
    """

    id: str
    state: str
    created: str
    left_over: bool


@dataclass(frozen=True)
class Status:
    """All that `status` shows. Times are ISO 8601 with their zone."""

    stack: str
    stack_status: str
    changed: str
    outputs: dict[str, str]
    schedule: Schedule
    executions: tuple[ExecutionLine, ...]
    queues: tuple[Queue, ...]
    applications: tuple[Application, ...]

    def to_json(self) -> str:
        """As a JSON document."""
        return json.dumps(asdict(self), indent=1)

    def to_text(self) -> str:
        """For people."""
        return "\n".join(
            [
                f"stack         {self.stack}: {self.stack_status}, changed {self.changed}",
                f"bucket        {self.outputs['BucketName']}",
                f"schedule      {self.schedule.name}: {self.schedule.state}, {self.schedule.expression} "
                f"{self.schedule.timezone}",
                *_section("executions", [_execution_line(execution) for execution in self.executions]),
                *_section(
                    "queues", [f"{queue.waiting} waiting, {queue.in_flight} read  {queue.url}" for queue in self.queues]
                ),
                *_section("applications", self._application_lines()),
            ]
        )

    def _application_lines(self) -> list[str]:
        remark = {True: "  left over: no execution is running", False: ""}
        return [f"{one.id} {one.state}, created {one.created}{remark[one.left_over]}" for one in self.applications]


def read(session: Session, name: str) -> Status:
    """The status of the stack named `name`. Raises StackError when there is none or it has not been finished."""
    client = session.client("cloudformation")
    stack = stacks.describe(client, name)
    if stack is None:
        raise StackError(f"no stack named {name}: run `python -m aws_setup deploy`, or set INGEST_STACK")
    outputs = StackOutputs.read(client, name)
    running = _running(session, outputs.state_machine_arn)
    urls = [outputs.queue_url, *([stack.outputs[key]] if (key := "DeadLetterQueueUrl") in stack.outputs else [])]
    return Status(
        stack=stack.name,
        stack_status=stack.status,
        changed=_time(stack.changed),
        outputs=stack.outputs,
        schedule=_schedule(session, outputs.schedule_name),
        executions=_executions(session, outputs.state_machine_arn),
        queues=tuple(_queue(session, url) for url in urls),
        applications=_applications(session, application_name(name), left_over=not running),
    )


def _schedule(session: Session, name: str) -> Schedule:
    answer = session.client("scheduler").get_schedule(Name=name)
    return Schedule(
        name=name,
        state=answer["State"],
        expression=answer["ScheduleExpression"],
        timezone=answer.get("ScheduleExpressionTimezone", "UTC"),
        input=answer["Target"].get("Input", "{}"),
    )


def _executions(session: Session, state_machine: str) -> tuple[ExecutionLine, ...]:
    answer = session.client("stepfunctions").list_executions(stateMachineArn=state_machine, maxResults=_EXECUTIONS)
    return tuple(
        ExecutionLine(
            name=entry["name"],
            status=entry["status"],
            started=_time(entry["startDate"]),
            stopped=_time(entry["stopDate"]) if "stopDate" in entry else None,
        )
        for entry in answer["executions"]
    )


def _running(session: Session, state_machine: str) -> bool:
    client = session.client("stepfunctions")
    answer = client.list_executions(stateMachineArn=state_machine, statusFilter="RUNNING", maxResults=1)
    return bool(answer["executions"])


def _queue(session: Session, url: str) -> Queue:
    answer = session.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    return Queue(url, int(answer["ApproximateNumberOfMessages"]), int(answer["ApproximateNumberOfMessagesNotVisible"]))


def _applications(session: Session, name: str, *, left_over: bool) -> tuple[Application, ...]:
    pages = session.client("emr-serverless").get_paginator("list_applications").paginate(states=_NOT_DELETED)
    return tuple(
        Application(entry["id"], entry["state"], _time(entry["createdAt"]), left_over)
        for page in pages
        for entry in page["applications"]
        if entry.get("name") == name
    )


def _execution_line(execution: ExecutionLine) -> str:
    end = f"to {execution.stopped}" if execution.stopped else ""
    return f"{execution.status:<9} {execution.name}  {execution.started} {end}".rstrip()


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{label:<13} {line}" for label, line in zip([title, *[""] * len(lines)], lines or ["none"], strict=False)]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
