from __future__ import annotations

import json
from typing import Any, cast, get_args

import boto3
import pytest
from botocore.exceptions import ClientError

from ingest_assets.aws.executions import ExecutionStatus
from ingest_assets.aws.job_runs import EndState, ExecutionJob, find, terminate
from tests.unit.ingest_assets.fakes import (
    APPLICATION,
    JOB,
    MACHINE,
    NORMAL,
    Event,
    FakeEmrServerless,
    FakeExecution,
    FakeStepFunctions,
    client_error,
    entered,
    scheduled,
    submitted,
)

ARN = f"{MACHINE.replace(':stateMachine:', ':execution:')}:n1"


def history(*events: Event) -> FakeStepFunctions:
    return FakeStepFunctions(executions={"n1": FakeExecution(events=[*events])})


def found(*events: Event) -> ExecutionJob | None:
    return find(cast("Any", history(*events)), ARN)


def stop(step_functions: FakeStepFunctions, emr_serverless: FakeEmrServerless, patience: float = 5.0) -> None:
    clients = cast("Any", step_functions), cast("Any", emr_serverless)
    terminate(*clients, ARN, cause="asked to", patience_seconds=patience)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_application_and_job_run_are_found_in_the_history() -> None:
    assert found(*NORMAL) == ExecutionJob(APPLICATION, JOB, created=True)


def test_an_application_without_a_job_run_is_found() -> None:
    assert found(*NORMAL[:3]) == ExecutionJob(APPLICATION, None, created=True)


def test_nothing_is_found_before_there_is_an_application() -> None:
    assert found(entered("Read input"), scheduled("createApplication.sync", Name="EMR-Step-Function")) is None


def test_an_application_that_was_given_is_not_one_that_was_created() -> None:
    events = [scheduled("startApplication.sync", ApplicationId="kept"), submitted()]
    assert found(events[0]) == ExecutionJob("kept", None, created=False)


def test_a_failed_job_run_has_its_details() -> None:
    cause = json.dumps({"JobRunId": JOB, "State": "FAILED", "StateDetails": "IngestionError: no such column"})
    run = found(*NORMAL, {"type": "TaskFailed", "taskFailedEventDetails": {"cause": cause}})
    assert run
    assert run.details == "IngestionError: no such column"


def test_a_cause_in_plain_words_is_no_document() -> None:
    assert found(*NORMAL, {"type": "TaskFailed", "taskFailedEventDetails": {"cause": "no role"}}) == found(*NORMAL)


def test_terminating_stops_the_execution_its_job_run_and_its_application() -> None:
    step_functions, emr_serverless = history(*NORMAL), FakeEmrServerless()
    stop(step_functions, emr_serverless)
    assert step_functions.stopped == [{"executionArn": ARN, "error": "Terminated", "cause": "asked to"}]
    assert emr_serverless.calls == [f"cancel {JOB}", f"stop {APPLICATION}", f"delete {APPLICATION}"]


def test_terminating_leaves_an_application_that_was_given_running() -> None:
    emr_serverless = FakeEmrServerless()
    stop(history(scheduled("startApplication.sync", ApplicationId=APPLICATION), submitted()), emr_serverless)
    assert emr_serverless.calls == [f"cancel {JOB}"]


def test_a_job_run_that_the_history_does_not_name_yet_is_found_by_its_name() -> None:
    emr_serverless = FakeEmrServerless(job_name="n1")
    stop(history(*NORMAL[:3]), emr_serverless)
    assert emr_serverless.calls[0] == f"cancel {JOB}"


def test_a_job_run_that_has_ended_already_is_no_error() -> None:
    emr_serverless = FakeEmrServerless(job="SUCCESS", application="STOPPED")
    stop(history(*NORMAL), emr_serverless)
    assert emr_serverless.calls == [f"cancel {JOB}", f"delete {APPLICATION}"]


def test_an_execution_that_was_never_started_needs_no_stop() -> None:
    emr_serverless = FakeEmrServerless()
    stop(FakeStepFunctions(), emr_serverless)
    assert emr_serverless.calls == []


def test_a_job_run_that_does_not_end_is_named_after_the_patience() -> None:
    with pytest.raises(TimeoutError, match=f"job run {JOB} has not ended after 0 s"):
        stop(history(*NORMAL), FakeEmrServerless(obeys=False), patience=0.0)


def test_a_refusal_is_not_taken_for_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise client_error("AccessDeniedException")

    monkeypatch.setattr(FakeEmrServerless, "cancel_job_run", refuse)
    with pytest.raises(ClientError, match="AccessDeniedException"):
        stop(history(*NORMAL), FakeEmrServerless())


def test_the_states_are_aws_s() -> None:
    def enum(service: str, shape: str) -> set[str]:
        model = boto3.session.Session(region_name="us-east-1").client(service).meta.service_model  # type: ignore[call-overload]
        return set(model.shape_for(shape).enum)

    assert set(get_args(EndState)) < enum("emr-serverless", "JobRunState")
    assert {"CREATED", "STARTED", "STOPPED", "TERMINATED"} < enum("emr-serverless", "ApplicationState")
    assert set(get_args(ExecutionStatus)) == enum("stepfunctions", "ExecutionStatus")
