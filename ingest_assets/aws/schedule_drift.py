"""Whether the schedule in EventBridge starts the same executions as Dagster's schedules."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest_assets.aws.schedule_expression import SCHEDULE_EXPRESSION, SCHEDULE_INPUT, SCHEDULE_TIMEZONE, same_times

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

_FILE = "ingest_assets/aws/schedule_expression.py"
_BY_HAND = "somebody changed it by hand, which deploy does not undo: change it back in EventBridge Scheduler"
_INPUT_REMEDY = f"run `python -m aws_setup deploy`; if it still differs then, {_BY_HAND}"


@dataclass(frozen=True)
class DeployedSchedule:
    """The schedule in EventBridge. `input` is the JSON text that it starts an execution with."""

    name: str
    state: str
    expression: str
    timezone: str
    input: str


def read_schedule(client: EventBridgeSchedulerClient, name: str) -> DeployedSchedule:
    """The schedule named `name`, as GetSchedule describes it."""
    answer = client.get_schedule(Name=name)
    timezone = answer.get("ScheduleExpressionTimezone", "UTC")
    request = answer["Target"].get("Input", "{}")
    return DeployedSchedule(name, answer["State"], answer["ScheduleExpression"], timezone, request)


def differences(schedule: DeployedSchedule, parameters: Mapping[str, str] | None = None) -> Iterator[str]:
    """A line for each difference from ingest_assets/aws/schedule_expression.py, with what to do about it.

    `parameters` are the parameters of the stack, which reveal a change by hand; None when the caller does not have
    them.
    """
    name = schedule.name
    if not same_times(schedule.expression, SCHEDULE_EXPRESSION):
        remedy = _remedy("Expression", schedule.expression, SCHEDULE_EXPRESSION, parameters)
        yield (
            f"{name} has the expression {schedule.expression} in EventBridge, Dagster has {SCHEDULE_EXPRESSION}:"
            f" {remedy}"
        )
    if schedule.timezone != SCHEDULE_TIMEZONE:
        remedy = _remedy("Timezone", schedule.timezone, SCHEDULE_TIMEZONE, parameters)
        yield (
            f"{name} has the time zone {schedule.timezone} in EventBridge, Dagster has {SCHEDULE_TIMEZONE}: {remedy}"
        )
    if _document(schedule.input) != SCHEDULE_INPUT:
        yield (
            f"{name} has the input {schedule.input} in EventBridge, Dagster's schedules {json.dumps(SCHEDULE_INPUT)}:"
            f" {_INPUT_REMEDY}"
        )


def _remedy(setting: str, actual: str, expected: str, parameters: Mapping[str, str] | None) -> str:
    if parameters is not None and actual != parameters.get(f"Schedule{setting}"):
        return _BY_HAND
    argument = shlex.quote(f"Schedule{setting}={expected}")
    return f"python -m aws_setup deploy --parameter {argument}, or change SCHEDULE_{setting.upper()} in {_FILE}"


def _document(text: str) -> object:
    """The JSON document; None for other text."""
    try:
        return json.loads(text)
    except ValueError:
        return None
