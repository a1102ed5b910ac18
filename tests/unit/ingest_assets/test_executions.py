"""The lines of an execution's history, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from aws_setup.cloudformation import template
from ingest_assets.aws import executions
from ingest_assets.aws.executions import StateChange, state_changes
from tests.unit.ingest_assets.fakes import FakeAws, FakeExecution, entered


def tasks(states: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and action of every task of a state machine."""
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state["Resource"].rpartition(":")[2].partition(".")[0]
        yield from tasks(state.get("ItemProcessor", {}).get("States", {}))


def changes(*events: dict[str, Any]) -> list[StateChange]:
    aws = FakeAws()
    aws.step_functions.executions["n1"] = FakeExecution(events=[*events])
    return state_changes(aws.step_functions, "arn:n1")  # type: ignore[arg-type]


def test_every_task_of_the_state_machine_has_a_sentence() -> None:
    found = dict(tasks(json.loads(template.STATE_MACHINE.read_text())["States"]))
    assert found.keys() == executions._STATES.keys()
    assert {*found.values()} == executions._TASKS.keys()


def test_a_change_holds_a_sentence_and_the_name_of_the_state() -> None:
    [known, unknown] = changes(entered("SendMessageToSQS"), entered("New state"))
    assert (known.text, known.state) == ("Sending the result to the queue", "SendMessageToSQS")
    assert (unknown.text, unknown.state) == ("State New state", "New state")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"resource": "startJobRun.sync", "error": "States.TaskFailed"}, "The Spark job failed (States.TaskFailed)"),
        ({"resource": "somethingElse"}, "Task somethingElse failed (no error is known)"),
        ({}, "A task failed (no error is known)"),
    ],
)
def test_a_task_that_failed_is_reported_as_a_failure(event: dict[str, str], text: str) -> None:
    [change] = changes({"type": "TaskFailed", "taskFailedEventDetails": event})
    assert (change.text, change.failed) == (text, True)


@pytest.mark.parametrize("kind", ["ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"])
def test_every_end_is_reported_and_all_but_a_success_are_failures(kind: str) -> None:
    [change] = changes({"type": kind})
    assert change.failed == (kind != "ExecutionSucceeded")
    assert change.text.startswith("The execution ")
