"""The EMR Serverless job run of an execution: find it, and stop it together with the execution.

After StopExecution the state machine runs no further state, and Step Functions cancels the job run on a best-effort
basis only (https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html). This module therefore
cancels the job run and removes the application itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from ingest_assets.aws.errors import error_code
from ingest_assets.aws.waiting import polls

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import HistoryEventTypeDef

EndState = Literal["SUCCESS", "FAILED", "CANCELLED"]
_RUN_JOB = "startJobRun.sync"
_ENDED: tuple[EndState, ...] = ("SUCCESS", "FAILED", "CANCELLED")

# Where the history holds what a task sent and received, as JSON; the cause is the job run if Spark failed.
_DOCUMENTS = (
    ("taskScheduledEventDetails", "parameters"),
    ("taskSubmittedEventDetails", "output"),
    ("taskSucceededEventDetails", "output"),
    ("taskFailedEventDetails", "cause"),
)
# What EMR Serverless answers if the job run or application is already in the state that the call asks for.
_TOO_LATE = {"ValidationException", "ConflictException", "ResourceNotFoundException"}


@dataclass(frozen=True)
class ExecutionJob:
    """The application and the job run of an execution, as far as its history names them.

    `created` says that the execution created the application.
    """

    application_id: str
    job_run_id: str | None = None
    created: bool = False
    details: str | None = None
    """EMR Serverless's StateDetails of a job run that failed."""


def find(client: SFNClient, arn: str) -> ExecutionJob | None:
    """The job that the execution's history names; None before it names an application."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = sorted((event for page in pages for event in page["events"]), key=lambda event: event["id"])
    run = ExecutionJob(application_id="")
    for event in events:
        created = _scheduled(event).startswith("createApplication")
        for document in _documents(event):
            run = ExecutionJob(
                application_id=document.get("ApplicationId") or run.application_id,
                job_run_id=document.get("JobRunId") or run.job_run_id,
                created=run.created or created,
                details=document.get("StateDetails") or run.details,
            )
    return run if run.application_id else None


def job_seconds(client: SFNClient, arn: str) -> float | None:
    """The seconds from the submission of the execution's Spark job to its success; None when it did not succeed."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    submitted = succeeded = None
    for event in (event for page in pages for event in page["events"]):
        if event.get("taskSubmittedEventDetails", {}).get("resource") == _RUN_JOB:
            submitted = event["timestamp"]
        if event.get("taskSucceededEventDetails", {}).get("resource") == _RUN_JOB:
            succeeded = event["timestamp"]
    return (succeeded - submitted).total_seconds() if submitted and succeeded else None


def terminate(
    step_functions: SFNClient,
    emr_serverless: EMRServerlessClient,
    arn: str,
    *,
    cause: str,
    patience_seconds: float = 60.0,
) -> None:
    """Stop the execution, cancel its job run, and remove the application when the execution made it.

    Raises TimeoutError when EMR Serverless takes longer than `patience_seconds` for a step.
    """
    try:
        step_functions.stop_execution(executionArn=arn, error="Terminated", cause=cause)
    except ClientError as error:
        if error_code(error) == "ExecutionDoesNotExist":  # interrupted before AWS had started it
            return
        raise
    run = find(step_functions, arn)
    if run is None:
        return
    if run.job_run_id is None:
        run = replace(run, job_run_id=_by_name(emr_serverless, run.application_id, arn.rpartition(":")[2]))
    if run.job_run_id is not None:
        _cancel(emr_serverless, run.application_id, run.job_run_id, patience_seconds)
    if run.created:
        _remove(emr_serverless, run.application_id, patience_seconds)


def _scheduled(event: HistoryEventTypeDef) -> str:
    return event.get("taskScheduledEventDetails", {}).get("resource", "")


def _documents(event: HistoryEventTypeDef) -> list[dict[str, Any]]:
    details: dict[str, Any] = {**event}
    texts = [details.get(part, {}).get(field) for part, field in _DOCUMENTS]
    return [document for text in texts if text and isinstance(document := _json(text), dict)]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # a cause is plain text if EMR Serverless refused the request
        return None


def _by_name(client: EMRServerlessClient, application_id: str, name: str) -> str | None:
    """The job run that has the execution's name, for a history that does not hold its id yet."""
    pages = client.get_paginator("list_job_runs").paginate(applicationId=application_id)
    return next((run["id"] for page in pages for run in page["jobRuns"] if run.get("name") == name), None)


def _cancel(client: EMRServerlessClient, application_id: str, job_run_id: str, patience: float) -> None:
    _unless_too_late(lambda: client.cancel_job_run(applicationId=application_id, jobRunId=job_run_id))

    def ended() -> bool:
        return client.get_job_run(applicationId=application_id, jobRunId=job_run_id)["jobRun"]["state"] in _ENDED

    _wait(ended, patience, f"job run {job_run_id} has not ended")


def _remove(client: EMRServerlessClient, application_id: str, patience: float) -> None:
    def removed() -> bool:
        state = client.get_application(applicationId=application_id)["application"]["state"]
        if state == "STARTED":
            _unless_too_late(lambda: client.stop_application(applicationId=application_id))
        elif state in ("CREATED", "STOPPED"):
            _unless_too_late(lambda: client.delete_application(applicationId=application_id))
        return state == "TERMINATED"

    _wait(removed, patience, f"application {application_id} is not deleted")


def _unless_too_late(call: Callable[[], object]) -> None:
    try:
        call()
    except ClientError as error:
        if error_code(error) not in _TOO_LATE:
            raise


def _wait(done: Callable[[], bool], patience: float, what: str) -> None:
    for _ in polls(seconds=patience, pause=0.5):
        try:
            if done():
                return
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return
            raise
    raise TimeoutError(f"{what} after {patience:.0f} s: look at it in the AWS console")
