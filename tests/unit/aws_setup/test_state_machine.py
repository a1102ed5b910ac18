"""The state machine as a graph: what can follow what. How it behaves is tested on the local account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aws_setup.cloudformation import template
from ingest_assets.aws.messages import ENDED, Notification, parse

MACHINE = template.state_machine()
STATES: dict[str, dict[str, Any]] = MACHINE["States"]
TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]
CANCELLING: dict[str, dict[str, Any]] = STATES["Cancel job runs"]["ItemProcessor"]["States"]
EMR_TASKS = [name for name in TASKS if name.startswith("EMR Serverless")]
ENDS = [name for name, state in STATES.items() if state["Type"] in ("Succeed", "Fail")]
NOTIFICATIONS = {"SuccessNotification", "FailureNotification"}


def following(name: str) -> set[str]:
    """The states that can come next: by Next, Choices, Default and Catch."""
    state = STATES[name]
    rules = [*state.get("Choices", []), *state.get("Catch", [])]
    return {target for target in [state.get("Next"), state.get("Default"), *(rule["Next"] for rule in rules)] if target}


def reachable(start: str, *, without: set[str] = frozenset()) -> set[str]:  # type: ignore[assignment]
    """The states that can follow `start` without passing a state in `without`."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = following(waiting.pop()) - found - without
        found |= new
        waiting += new
    return found


def test_the_states_of_the_seed_are_there() -> None:
    assert {
        "EMR Serverless CreateApplication",
        "EMR Serverless StartApplication",
        "EMR Serverless StartJobRun",
        "EMR Serverless StopApplication",
        "EMR Serverless DeleteApplication",
        "SuccessNotification",
        "FailureNotification",
        "SendMessageToSQS",
    } == set(TASKS) - {"List job runs", "Read summary"}


def test_every_state_exists_is_reached_and_leads_on() -> None:
    named = {target for name in STATES for target in following(name)}
    assert named <= STATES.keys()
    assert reachable(MACHINE["StartAt"]) | {MACHINE["StartAt"]} == STATES.keys()
    assert [name for name in STATES if not following(name)] == ENDS


@pytest.mark.parametrize("name", TASKS)
def test_every_task_catches_all_and_keeps_the_state_data(name: str) -> None:
    last = STATES[name]["Catch"][-1]
    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["ResultPath"].startswith("$.")
    assert STATES[name]["ResultPath"].startswith("$.")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_time_limit_and_no_field_of_jsonata(name: str) -> None:
    assert 0 < STATES[name]["TimeoutSeconds"] < 99_999_999
    assert not {"Arguments", "Output", "Assign", "QueryLanguage"} & STATES[name].keys()


@pytest.mark.parametrize("name", [*EMR_TASKS, "Refuse input"])
def test_nothing_ends_without_a_notification_and_a_message(name: str) -> None:
    assert not reachable(name, without=NOTIFICATIONS) & set(ENDS)
    assert not reachable(name, without={"SendMessageToSQS"}) & set(ENDS)


@pytest.mark.parametrize(
    "name", ["EMR Serverless CreateApplication", "EMR Serverless StartApplication", "EMR Serverless StartJobRun"]
)
def test_after_every_outcome_of_the_job_the_application_is_deleted(name: str) -> None:
    assert not reachable(name, without={"Created here"}) & NOTIFICATIONS
    assert {"EMR Serverless StopApplication", "EMR Serverless DeleteApplication"} <= reachable(name)


def test_an_application_that_cannot_be_stopped_is_deleted_anyway() -> None:
    assert following("EMR Serverless StopApplication") == {"EMR Serverless DeleteApplication"}


def test_a_failing_notification_skips_nothing() -> None:
    for name in NOTIFICATIONS:
        assert following(name) == {"SendMessageToSQS"}


def test_the_input_is_checked_before_an_application_is_created() -> None:
    before = reachable(MACHINE["StartAt"], without={"EMR Serverless CreateApplication", "Use given application"})
    assert "Check form" in before
    assert not reachable(MACHINE["StartAt"], without={"Check form"}) & set(EMR_TASKS)


def test_every_choice_has_a_default() -> None:
    assert all("Default" in state for state in STATES.values() if state["Type"] == "Choice")


def test_only_transient_errors_of_emr_serverless_are_retried() -> None:
    tasks = [*(STATES[name] for name in EMR_TASKS), CANCELLING["EMR Serverless CancelJobRun"]]
    retried = {error for task in tasks for rule in task["Retry"] for error in rule["ErrorEquals"]}
    assert retried == {
        "EMRServerless.ThrottlingException",
        "EMRServerless.InternalServerException",
        "EMRServerless.SdkClientException",
    }


def test_a_job_that_still_runs_is_cancelled_before_its_application_is_stopped() -> None:
    caught = STATES["EMR Serverless StartJobRun"]["Catch"]
    assert [rule["Next"] for rule in caught] == ["List job runs"]
    assert following("List job runs") == {"Cancel job runs", "Created here"}
    assert following("Cancel job runs") == {"Created here"}
    cancel = CANCELLING["EMR Serverless CancelJobRun"]
    assert cancel["Resource"].endswith("cancelJobRun.sync")
    assert cancel["TimeoutSeconds"] == 900
    assert [rule["ErrorEquals"] for rule in cancel["Catch"]] == [["States.ALL"]]


def test_a_retried_request_is_the_same_request() -> None:
    for name in ("EMR Serverless CreateApplication", "EMR Serverless StartJobRun"):
        assert STATES[name]["Parameters"]["ClientToken.$"] == "States.Hash($$.Execution.Id, 'SHA-256')"


def test_the_job_has_less_time_than_the_task_that_waits_for_it() -> None:
    longest_job = template.parameters()["JobTimeoutMinutes"]["MaxValue"] * 60
    longest_queue = 360 * 60  # EMR Serverless's default
    assert STATES["EMR Serverless StartJobRun"]["TimeoutSeconds"] > longest_job + longest_queue


def test_no_intrinsic_has_escaped_quotes() -> None:
    assert "\\'" not in json.dumps(MACHINE)


def test_the_execution_fails_with_the_error_of_the_job() -> None:
    assert STATES["Failed"]["ErrorPath"] == "$.complete.failure.Error"
    assert STATES["Failed"]["CausePath"] == "$.complete.failure.Cause"


def test_an_error_without_a_cause_gets_one_before_the_notification() -> None:
    assert STATES["Read input"]["Parameters"]["unknown"] == {"Cause": "no cause was given"}
    assert [name for name in STATES if "Describe failure" in following(name)] == ["Complete failure"]
    assert STATES["Complete failure"]["Parameters"]["failure.$"] == "States.JsonMerge($.unknown, $.failure, false)"


@pytest.mark.parametrize("name", ["Describe success", "Describe failure"])
def test_its_notification_is_the_one_that_dagster_reads_and_writes(name: str) -> None:
    message = STATES[name]["Parameters"]["message"]
    arn = "arn:aws:states:us-east-1:123456789012:execution:EMRServerlessStepFunction:n1"
    values = {
        "$$.Execution.Id": arn,
        "$$.Execution.Name": "n1",
        "$.input": {"table": "mockrecord"},
        "$.emr.ApplicationId": "00fapp",
        "$.job.JobRunId": "00fjob",
        "$.failure.Error": "the error",
        "$.failure.Cause": "the cause",
        "$.complete.failure.Error": "the error",
        "$.complete.failure.Cause": "the cause",
        "$.cleanup.error": "the error of the cleanup",
        "$.summary.Body": "mockrecord: 2 of 48 months changed",
    }
    written = {key.removesuffix(".$"): values[value] if key.endswith(".$") else value for key, value in message.items()}
    assert message["status"] in ENDED
    assert ("summary" in written) == (message["status"] == "SUCCEEDED")
    notification = Notification(
        message["status"], arn, {"table": "mockrecord"}, "00fapp", "00fjob", "the error", "the cause",
        "the error of the cleanup", None if name == "Describe failure" else "mockrecord: 2 of 48 months changed",
    )  # fmt: skip
    assert parse(json.dumps(written)) == notification
    assert json.loads(notification.to_json()) == written


def test_every_notification_is_tried_again() -> None:
    for name in ("SuccessNotification", "FailureNotification", "SendMessageToSQS"):
        assert STATES[name]["Retry"][0]["ErrorEquals"] == ["States.TaskFailed", "States.Timeout"]
