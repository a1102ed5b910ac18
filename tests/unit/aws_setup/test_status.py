from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aws_setup.checks.applications import Application, read
from aws_setup.cloudformation.drift import Drift, detect
from aws_setup.commands.status import ExecutionLine, Queue, Schedule, Status
from tests.unit.aws_setup.fakes import STACK_ID, FakeSession

STATUS = Status(
    stack="data-lake-ingestion",
    stack_status="UPDATE_COMPLETE",
    changed="2026-03-15T08:00:00+00:00",
    outputs={"BucketName": "lake"},
    schedule=Schedule("stepfunction_datapipeline", "ENABLED", "cron(0 2 1 * ? *)", "America/Chicago", "{}"),
    executions=(
        ExecutionLine("second", "RUNNING", "2026-03-15T08:00:00+00:00", None),
        ExecutionLine("first", "FAILED", "2026-03-01T08:00:00+00:00", "2026-03-01T08:05:00+00:00"),
    ),
    queues=(Queue("https://queue", 2, 1),),
    applications=(),
)


def test_the_text_has_a_line_for_each_item() -> None:
    assert STATUS.to_text().splitlines() == [
        "stack         data-lake-ingestion: UPDATE_COMPLETE, changed 2026-03-15T08:00:00+00:00",
        "bucket        lake",
        "drift         not checked (--no-drift)",
        "schedule      stepfunction_datapipeline: ENABLED, cron(0 2 1 * ? *) America/Chicago",
        "executions    RUNNING   second  2026-03-15T08:00:00+00:00",
        "              FAILED    first  2026-03-01T08:00:00+00:00 to 2026-03-01T08:05:00+00:00",
        "queues        2 waiting, 1 in flight  https://queue",
        "applications  none",
    ]


@pytest.mark.parametrize(
    ("application", "text"),
    [
        (Application("00f", "STARTED", "now", left_over=False), "idle, which costs nothing"),
        (
            Application("00f", "STARTED", "now", left_over=True),
            "idle, which costs nothing; left over, since no execution is running: stop and delete it",
        ),
        (
            Application("00f", "STARTED", "now", left_over=False, jobs=1, usd=0.125),
            "1 job running, about $0.12 so far",
        ),
        (Application("00f", "STARTED", "now", left_over=False, jobs=2), "2 jobs running, cost not known yet"),
        (
            Application("00f", "STARTED", "now", left_over=False, keeps_workers=True),
            "idle, but its pre-initialised workers cost money: stop it",
        ),
    ],
)
def test_an_application_s_line_says_what_it_does_and_costs(application: Application, text: str) -> None:
    status = replace(STATUS, applications=(application,))
    assert status.to_text().splitlines()[-1] == f"applications  00f STARTED, created now, {text}"


def test_each_difference_of_the_schedule_has_a_line() -> None:
    status = replace(STATUS, schedule=replace(STATUS.schedule, differences=("the first", "the second")))
    assert status.to_text().splitlines()[4:6] == ["              the first", "              the second"]


def test_dead_letters_are_reported() -> None:
    status = replace(STATUS, queues=(Queue("https://dead", 1, 0, dead=True), Queue("https://empty", 0, 0, dead=True)))
    assert status.to_text().splitlines()[-3:-1] == [
        "queues        1 waiting, 0 in flight  https://dead  no consumer could process them: read them",
        "              0 waiting, 0 in flight  https://empty",
    ]


ARN = "arn:aws:emr-serverless:us-east-1:123456789012:/applications/00f1234567890abc"
ROLE = "arn:aws:iam::123456789012:role/job"


def detection(session: FakeSession, status: str, **more: str) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ids = {"StackId": STACK_ID, "StackDriftDetectionId": "1", "Timestamp": moment}
    session.script("cloudformation").add_response(
        "describe_stack_drift_detection_status", {**ids, "DetectionStatus": status, **more}
    )


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    monkeypatch.setattr("time.sleep", lambda _: None)
    session = FakeSession()
    session.script("cloudformation").add_response("detect_stack_drift", {"StackDriftDetectionId": "1"})
    return session


def detected(session: FakeSession) -> Drift:
    found = detect(session.client("cloudformation"), "data-lake-ingestion")
    session.assert_all_called()
    return found


def test_drift_names_each_resource_and_what_was_changed(session: FakeSession) -> None:
    detection(session, "DETECTION_IN_PROGRESS")
    detection(session, "DETECTION_COMPLETE", StackDriftStatus="DRIFTED")
    difference = {
        "PropertyPath": "/State",
        "ExpectedValue": "ENABLED",
        "ActualValue": "DISABLED",
        "DifferenceType": "NOT_EQUAL",
    }
    about = {
        "StackId": STACK_ID,
        "LogicalResourceId": "Schedule",
        "ResourceType": "AWS::Scheduler::Schedule",
        "StackResourceDriftStatus": "MODIFIED",
        "PropertyDifferences": [difference],
        "Timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }
    cloudformation = session.script("cloudformation")
    cloudformation.add_response("describe_stack_resource_drifts", {"StackResourceDrifts": [about], "NextToken": "2"})
    cloudformation.add_response("describe_stack_resource_drifts", {"StackResourceDrifts": [about]})
    assert detected(session) == Drift(
        "DRIFTED",
        "2 resources are not as they were deployed",
        ("Schedule (AWS::Scheduler::Schedule) MODIFIED: /State",) * 2,
    )


def test_a_stack_without_drift_is_in_sync(session: FakeSession) -> None:
    detection(session, "DETECTION_COMPLETE", StackDriftStatus="IN_SYNC")
    assert detected(session).state == "IN_SYNC"


def test_a_drift_detection_that_fails_is_unavailable(session: FakeSession) -> None:
    detection(session, "DETECTION_FAILED", DetectionStatusReason="no access to the bucket")
    assert detected(session) == Drift("UNAVAILABLE", "drift detection failed: no access to the bucket")


def test_a_drift_detection_that_takes_too_long_is_unavailable(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 100.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    detection(session, "DETECTION_IN_PROGRESS")
    found = detect(session.client("cloudformation"), "data-lake-ingestion")
    assert found.text == "drift detection takes longer than 90 s: try again later"


def test_without_drift_detection_the_status_says_so() -> None:
    session = FakeSession()
    session.script("cloudformation").add_client_error("detect_stack_drift", "AccessDenied", "not allowed")
    assert detected(session) == Drift("UNAVAILABLE", "drift detection is not available: not allowed")


def test_the_cost_of_running_jobs_is_computed() -> None:
    session, moment = FakeSession(), datetime(2026, 1, 1, tzinfo=UTC)
    emr = session.script("emr-serverless")
    entry = {"id": "00f", "arn": ARN, "releaseLabel": "emr-7.14.0", "type": "SPARK", "createdAt": moment,
             "updatedAt": moment, "state": "STARTED"}  # fmt: skip
    others = {**entry, "id": "00x", "name": "other"}
    emr.add_response("list_applications", {"applications": [{**entry, "name": "ours"}, others]})
    run = {"applicationId": "00f", "id": "00r", "arn": f"{ARN}/jobruns/00r", "createdBy": ROLE,
           "createdAt": moment, "updatedAt": moment, "executionRole": ROLE, "state": "RUNNING",
           "stateDetails": "-", "releaseLabel": "emr-7.14.0"}  # fmt: skip
    emr.add_response("list_job_runs", {"jobRuns": [run]})
    used = {"vCPUHour": 10.0, "memoryGBHour": 100.0, "storageGBHour": 0.0}
    described = {key: value for key, value in run.items() if key != "id"}
    driver = {"sparkSubmit": {"entryPoint": "s3://lake/main.py"}}
    described |= {"jobRunId": "00r", "jobDriver": driver, "totalResourceUtilization": used}
    emr.add_response("get_job_run", {"jobRun": described})
    application = {key: value for key, value in entry.items() if key != "id"} | {"applicationId": "00f"}
    emr.add_response("get_application", {"application": application})
    (found,) = read(session.client("emr-serverless"), "ours", left_over=True)
    session.assert_all_called()
    assert (found.id, found.jobs, found.keeps_workers) == ("00f", 1, False)
    assert found.usd == pytest.approx(1.10409)


def test_the_json_document_has_every_field() -> None:
    document = json.loads(STATUS.to_json())
    assert document["executions"][1] == {
        "name": "first",
        "status": "FAILED",
        "started": "2026-03-01T08:00:00+00:00",
        "stopped": "2026-03-01T08:05:00+00:00",
    }
