"""The state of the deployed stack: its schedule, executions, queues, and the applications that cost money."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from datetime import datetime

from boto3.session import Session

from aws_setup.checks import applications
from aws_setup.checks.applications import Application
from aws_setup.cloudformation import stacks
from aws_setup.cloudformation.drift import Drift, detect
from aws_setup.cloudformation.parameters import application_name
from aws_setup.commands.arguments import add_json
from ingest_assets.aws.schedule_drift import DeployedSchedule, differences, read_schedule
from ingest_assets.aws.stack import StackOutputs, read_stack, stack_name

_EXECUTIONS = 5


HELP = "show the stack, its schedule, executions, queues and applications"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_json(parser)
    parser.add_argument("--no-drift", action="store_true", help="do not wait for CloudFormation's drift detection")


def run(options: argparse.Namespace) -> int:
    """Print the status."""
    found = read(Session(), stack_name(), drift=not options.no_drift)
    print(found.to_json() if options.json else found.to_text())
    return 0


@dataclass(frozen=True)
class Schedule(DeployedSchedule):
    """The schedule in EventBridge. `differences` has a line for each difference from Dagster's."""

    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExecutionLine:
    """One of the last executions. `stopped` is None while it runs."""

    name: str
    status: str
    started: str
    stopped: str | None


@dataclass(frozen=True)
class Queue:
    """A queue and the approximate numbers of its messages: waiting, and in flight. `dead` marks a dead-letter queue."""

    url: str
    waiting: int
    in_flight: int
    dead: bool = False


@dataclass(frozen=True)
class Status:
    """Everything that `status` shows. Times are in ISO 8601 with their zone."""

    stack: str
    stack_status: str
    changed: str
    outputs: dict[str, str]
    schedule: Schedule
    executions: tuple[ExecutionLine, ...]
    queues: tuple[Queue, ...]
    applications: tuple[Application, ...]
    drift: Drift | None = None

    def to_json(self) -> str:
        """As a JSON document."""
        return json.dumps(asdict(self), indent=1)

    def to_text(self) -> str:
        """As text for a terminal, one line per item."""
        return "\n".join(
            [
                f"stack         {self.stack}: {self.stack_status}, changed {self.changed}",
                f"bucket        {self.outputs['BucketName']}",
                *_section("drift", self._drift_lines()),
                *_section("schedule", self._schedule_lines()),
                *_section("executions", [_execution_line(one) for one in self.executions]),
                *_section(
                    "queues",
                    [
                        f"{one.waiting} waiting, {one.in_flight} in flight  {one.url}{_remark(one)}"
                        for one in self.queues
                    ],
                ),
                *_section("applications", [one.to_text() for one in self.applications]),
            ]
        )

    def _schedule_lines(self) -> list[str]:
        one = self.schedule
        return [f"{one.name}: {one.state}, {one.expression} {one.timezone}", *one.differences]

    def _drift_lines(self) -> list[str]:
        if self.drift is None:
            return ["not checked (--no-drift)"]
        return [f"{self.drift.state}: {self.drift.text}", *self.drift.resources]


def read(session: Session, name: str, *, drift: bool = True) -> Status:
    """The status of the stack named `name`. With `drift` CloudFormation checks it for drift, for about half a minute.

    Raises StackError when there is no such stack, or it lacks outputs.
    """
    client = session.client("cloudformation")
    stack = read_stack(client, name)
    outputs = StackOutputs.of(stack)
    running = stacks.running_executions(session, outputs.state_machine_arn)
    dead = [stack.outputs[key] for key in ("DeadLetterQueueUrl", "ScheduleDeadLetterQueueUrl") if key in stack.outputs]
    return Status(
        stack=stack.name,
        stack_status=stack.status,
        changed=_time(stack.changed),
        outputs=stack.outputs,
        schedule=_schedule(session, outputs.schedule_name, stack.parameters),
        executions=_executions(session, outputs.state_machine_arn),
        queues=(_queue(session, outputs.queue_url), *(_queue(session, url, dead=True) for url in dead)),
        applications=applications.read(session.client("emr-serverless"), application_name(name), left_over=not running),
        drift=detect(client, name) if drift else None,
    )


def _schedule(session: Session, name: str, parameters: dict[str, str]) -> Schedule:
    schedule = read_schedule(session.client("scheduler"), name)
    return Schedule(**asdict(schedule), differences=tuple(differences(schedule, parameters)))


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


def _queue(session: Session, url: str, *, dead: bool = False) -> Queue:
    answer = session.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    waiting, in_flight = answer["ApproximateNumberOfMessages"], answer["ApproximateNumberOfMessagesNotVisible"]
    return Queue(url, int(waiting), int(in_flight), dead)


def _remark(queue: Queue) -> str:
    return "  no consumer could process them: read them" if queue.dead and queue.waiting else ""


def _execution_line(execution: ExecutionLine) -> str:
    end = f"to {execution.stopped}" if execution.stopped else ""
    return f"{execution.status:<9} {execution.name}  {execution.started} {end}".rstrip()


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"{label:<13} {line}" for label, line in zip([title, *[""] * len(lines)], lines or ["none"], strict=False)]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
