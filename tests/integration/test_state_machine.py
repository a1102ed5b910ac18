"""The deployed state machine, run by the local account's interpreter over jobs that do what a test says."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from aws_setup.commands import deploy, preflight
from aws_setup.local.emulator.emrserverless.job_run import Pace, SparkJob
from aws_setup.local.emulator.server import LocalAws
from ingest_assets.aws import messages
from ingest_assets.aws.stack import DEFAULT_STACK, StackOutputs, read_stack
from spark_scripts.contract import layout
from tests.integration.machine import CANCELLED, CREATED, RELEASED, Machine
from tests.integration.scripted_jobs import ScriptedJobs

EVERY_STATE = ["CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED", "TERMINATED"]


@pytest.fixture(scope="module")
def jobs() -> ScriptedJobs:
    return ScriptedJobs()


@pytest.fixture(scope="module")
def session(jobs: ScriptedJobs) -> Iterator[boto3.session.Session]:
    """An account of this module's own: EMR Serverless is quick, jobs are scripted, objects are in moto."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        with LocalAws(jobs, pace=Pace(transition=0.02)) as aws:
            patch.setenv("AWS_ENDPOINT_URL", aws.url)
            yield boto3.session.Session("key", "secret", region_name="us-east-1")


@pytest.fixture(scope="module")
def deployed(session: boto3.session.Session, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., StackOutputs]:
    """Deploy a stack with these parameters."""
    driver = tmp_path_factory.mktemp("jar") / "postgresql-42.7.13.jar"
    driver.write_bytes(b"never loaded")

    def deployed(stack: str, **parameters: str) -> StackOutputs:
        given = {"BucketName": f"lake-{stack}", **parameters}
        # Driver and network are names alone here.
        request = deploy.DeployRequest(stack, given, driver, ignore=preflight.CHECKS)
        return deploy.deploy(session, request, lambda _: None)

    return deployed


@pytest.fixture(scope="module")
def outputs(deployed: Callable[..., StackOutputs]) -> StackOutputs:
    return deployed(DEFAULT_STACK, BucketName="lake")


@pytest.fixture(autouse=True)
def _fresh(jobs: ScriptedJobs) -> None:
    jobs.codes, jobs.on_start, jobs.lingers = [], lambda _: None, 0.0
    jobs.started.clear()


@pytest.fixture
def machine(session: boto3.session.Session, outputs: StackOutputs) -> Machine:
    return Machine(session, outputs)


SCHEDULED = {"scheduled_time": "2026-03-15T08:00:00Z", "trailing_months": 10}
NAMED = {"table": "mockrecord", "months": ["2024-02", "2024-03"]}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        SCHEDULED,
        NAMED,
        {**NAMED, "requested_by": "run-1"},
        {**SCHEDULED, "trailing_months": 0},
        {"refresh": True, "dry_run": True},
        {**SCHEDULED, "refresh": True, "table": "mockrecord"},
        {"refresh": True, "table": "mockrecord", "dry_run": False, "requested_by": "run-1"},
    ],
)
def test_an_input_of_the_agreed_forms_reaches_the_job_as_it_is(
    machine: Machine, jobs: ScriptedJobs, request_: dict[str, Any]
) -> None:
    execution = machine.run(request_)
    assert execution.status == "SUCCEEDED"
    (argument,) = jobs.started[0].arguments
    assert json.loads(argument) == {
        "input": request_,
        "execution": execution.name,
        "bucket": "lake",
        "database_secret": machine.outputs.database_secret_arn,
        "aws_keys_secret": "",
        "glue_database": "",
        "database_host": "",
        "database_port": "5432",
        "database_name": "",
    }


REFUSED: list[object] = [
    None,
    [],
    [{}],
    "{}",
    3,
    True,
    {"tables": "mockrecord"},
    {**NAMED, "extra": None},
    {"table": "mockrecord"},
    {"months": ["2024-02"]},
    {**NAMED, "table": ""},
    {**NAMED, "table": None},
    {**NAMED, "table": 1},
    {**NAMED, "months": []},
    {**NAMED, "months": "2024-02"},
    {**NAMED, "months": None},
    {**NAMED, "months": {"0": "2024-02"}},
    {**NAMED, "months": [202402]},
    {**NAMED, **SCHEDULED},
    {"scheduled_time": "2026-03-15T08:00:00Z"},
    {"trailing_months": 10},
    {**SCHEDULED, "scheduled_time": "yesterday"},
    {**SCHEDULED, "scheduled_time": 3},
    {**SCHEDULED, "trailing_months": "10"},
    {**SCHEDULED, "trailing_months": -1},
    {**SCHEDULED, "trailing_months": 1.5},
    {**SCHEDULED, "trailing_months": True},
    {"application_id": 1},
    {"application_id": ""},
    {**NAMED, "application_id": None},
    {**SCHEDULED, "requested_by": ["run-1"]},
    {"refresh": "yes"},
    {"refresh": "true"},
    {"refresh": None},
    {"refresh": 1},
    {"refresh": False},
    {"refresh": True, "extra": 1},
    {"refresh": True, "months": ["2024-02"]},
    {"refresh": True, "table": ""},
    {"refresh": True, "table": 1},
    {**SCHEDULED, "refresh": True, "table": None},
    {**SCHEDULED, **NAMED, "refresh": True},
    {**SCHEDULED, "table": "mockrecord"},
    {"refresh": True, "dry_run": "yes"},
    {"refresh": True, "dry_run": None},
    {"dry_run": True},
    {**NAMED, "dry_run": False},
]


def test_any_other_input_is_refused_before_an_application_is_created(machine: Machine) -> None:
    before = machine.applications(*EVERY_STATE)
    started = [(json.dumps(request), machine.start(request)) for request in REFUSED]  # at once: each takes a second
    for text, arn in started:
        execution = machine.end(arn)
        assert (execution.status, execution.error) == ("FAILED", "InvalidInput"), text
        assert machine.states(execution) == ["FailureNotification", "SendMessageToSQS"], text
    assert machine.applications(*EVERY_STATE) == before


def test_a_refused_input_is_told_like_any_failure(machine: Machine) -> None:
    execution = machine.run(["2024-02"])
    first, second = machine.messages(execution)
    assert first == second
    assert (first["status"], first["error"], first["input"]) == ("FAILED", "InvalidInput", ["2024-02"])
    assert first["cause"].startswith("The input is not of the agreed form. Give {")
    assert first["application_id"] is None


def test_a_success_goes_the_whole_way_and_leaves_no_application(machine: Machine) -> None:
    execution = machine.run(NAMED)
    assert machine.states(execution) == [*CREATED, *RELEASED, "SuccessNotification", "SendMessageToSQS"]
    assert machine.applications("CREATED", "STARTED", "STOPPED") == []


def test_the_queue_gets_the_topics_message_and_its_own_and_both_are_the_same(
    machine: Machine, jobs: ScriptedJobs
) -> None:
    request = {**NAMED, "requested_by": "a test"}
    execution = machine.run(request)
    first, second = machine.messages(execution)
    assert first == second
    assert first == {
        "version": 1,
        "status": "SUCCEEDED",
        "execution_arn": execution.arn,
        "execution_name": execution.name,
        "input": request,
        "application_id": jobs.started[0].application_id,
        "job_run_id": jobs.started[0].job_run_id,
        "error": None,
        "cause": None,
        "cleanup_error": None,
        "source": "state-machine",
        "summary": "its summary cannot be read",
    }


def test_the_notification_says_what_the_job_did(
    machine: Machine, jobs: ScriptedJobs, session: boto3.session.Session
) -> None:
    text = 'orders: 2 of 48 months changed, and "quotes", déjà vu'

    def write(job: SparkJob) -> None:
        key = layout.summary_key(json.loads(job.arguments[0])["execution"])
        session.client("s3").put_object(Bucket=machine.outputs.bucket_name, Key=key, Body=text.encode())

    jobs.on_start = write
    execution = machine.run({"refresh": True})
    assert [message["summary"] for message in machine.messages(execution)] == [text, text]


def test_a_job_that_fails_fails_the_execution_with_its_error_and_leaves_no_application(
    machine: Machine, jobs: ScriptedJobs
) -> None:
    jobs.codes = [1]
    execution = machine.run({})
    assert (execution.status, execution.error) == ("FAILED", "States.TaskFailed")
    assert "IngestionError: no table public.nothing" in str(execution.cause)
    assert machine.states(execution) == [*CREATED, CANCELLED[0], *RELEASED, "FailureNotification", "SendMessageToSQS"]
    assert machine.applications("CREATED", "STARTED", "STOPPED") == []
    first, second = machine.messages(execution)
    assert first == second
    assert (first["status"], first["error"], first["cause"]) == ("FAILED", execution.error, execution.cause)
    assert first["application_id"] == jobs.started[0].application_id


def test_a_given_application_is_neither_created_nor_stopped_nor_deleted(machine: Machine, jobs: ScriptedJobs) -> None:
    kept = machine.kept_application()
    jobs.codes = [0, 1]
    for after in (["SuccessNotification"], [CANCELLED[0], "FailureNotification"]):
        execution = machine.run({**NAMED, "application_id": kept})
        assert machine.states(execution) == [*CREATED[1:], *after, "SendMessageToSQS"]
    assert {job.application_id for job in jobs.started} == {kept}
    assert machine.applications("STARTED") == [kept]


def test_a_given_application_that_does_not_exist_is_an_error(machine: Machine) -> None:
    execution = machine.run({"application_id": "00nowhere"})
    assert (execution.status, execution.error) == ("FAILED", "EMRServerless.ResourceNotFoundException")
    assert machine.states(execution) == [CREATED[1], "FailureNotification", "SendMessageToSQS"]
    assert len(machine.messages(execution)) == 2


def test_a_failing_cleanup_is_told_and_the_ingestion_stays_a_success(machine: Machine, jobs: ScriptedJobs) -> None:
    client = machine.session.client("emr-serverless")
    started: list[dict[str, Any]] = []

    def start_another(job: SparkJob) -> None:
        jobs.on_start = lambda _: None
        role = "arn:aws:iam::123456789012:role/another"
        driver: Any = {"sparkSubmit": {"entryPoint": job.entry_point}}
        another = client.start_job_run(
            applicationId=job.application_id, clientToken="another", executionRoleArn=role, jobDriver=driver
        )
        started.append({"applicationId": another["applicationId"], "jobRunId": another["jobRunId"]})

    jobs.codes, jobs.on_start = [0, None], start_another
    execution = machine.run(NAMED)
    client.cancel_job_run(**started[0])
    assert execution.status == "SUCCEEDED"
    assert machine.states(execution) == [*CREATED, *RELEASED, "SuccessNotification", "SendMessageToSQS"]
    message = machine.messages(execution)[0]
    assert message["status"] == "SUCCEEDED"
    assert json.loads(message["cleanup_error"])["Error"] == "EMRServerless.ValidationException"


def test_an_application_that_cannot_be_created_is_told_and_nothing_is_stopped(
    session: boto3.session.Session, deployed: Callable[..., StackOutputs]
) -> None:
    groups = ",".join(f"sg-{number}" for number in range(6))  # EMR Serverless takes five
    machine = Machine(session, deployed("networked", SubnetIds="subnet-1,subnet-2", SecurityGroupIds=groups))
    execution = machine.run({})
    assert (execution.status, execution.error) == ("FAILED", "EMRServerless.ValidationException")
    assert machine.states(execution) == [CREATED[0], "FailureNotification", "SendMessageToSQS"]
    message = machine.messages(execution)[0]
    assert message["cause"] == execution.cause
    assert message["application_id"] is None


def test_a_job_that_emr_serverless_refuses_is_told_in_its_words(
    session: boto3.session.Session, deployed: Callable[..., StackOutputs]
) -> None:
    machine = Machine(session, deployed("refused", SparkSubmitParameters="--conf spark.master=yarn"))
    execution = machine.run({})
    assert "spark.master" in str(execution.cause)
    assert machine.states(execution) == [*CREATED, CANCELLED[0], *RELEASED, "FailureNotification", "SendMessageToSQS"]


def test_failing_notifications_change_nothing_in_the_outcome(
    session: boto3.session.Session, deployed: Callable[..., StackOutputs], jobs: ScriptedJobs
) -> None:
    machine = Machine(session, deployed("silent"))
    topics = session.client("sns")
    stack = read_stack(session.client("cloudformation"), "silent")
    topics.delete_topic(TopicArn=stack.outputs["SuccessTopicArn"])
    topics.delete_topic(TopicArn=machine.outputs.failure_topic_arn)
    session.client("sqs").delete_queue(QueueUrl=machine.outputs.queue_url)
    jobs.codes = [0, 1]
    started = [machine.start({}), machine.start({})]  # at once: each waits for the retries of two notifications
    failed, succeeded = sorted((machine.end(arn) for arn in started), key=lambda execution: execution.status)
    assert succeeded.status == "SUCCEEDED"
    assert (failed.status, failed.error) == ("FAILED", "States.TaskFailed")
    assert machine.states(succeeded)[-2:] == ["SuccessNotification", "SendMessageToSQS"]
    assert machine.states(failed)[-2:] == ["FailureNotification", "SendMessageToSQS"]


def impatient(session: boto3.session.Session, outputs: StackOutputs) -> Machine:
    """The state machine with a time limit of two seconds for the job."""
    client = session.client("stepfunctions")
    definition = json.loads(client.describe_state_machine(stateMachineArn=outputs.state_machine_arn)["definition"])
    definition["States"]["EMR Serverless StartJobRun"]["TimeoutSeconds"] = 2
    client.update_state_machine(stateMachineArn=outputs.state_machine_arn, definition=json.dumps(definition))
    return Machine(session, outputs)


def test_a_job_without_end_is_cancelled_before_its_application_is_stopped(
    session: boto3.session.Session, deployed: Callable[..., StackOutputs], jobs: ScriptedJobs
) -> None:
    machine = impatient(session, deployed("impatient"))
    jobs.codes, jobs.lingers = [None], 1.5  # longer than the time between the time-out and the next state
    execution = machine.run(NAMED)
    assert (execution.status, execution.error) == ("FAILED", "States.Timeout")
    assert machine.states(execution) == [*CREATED, *CANCELLED, *RELEASED, "FailureNotification", "SendMessageToSQS"]
    assert machine.messages(execution)[0]["cleanup_error"] is None
    assert jobs.started[0].application_id in machine.applications("TERMINATED")


def test_the_job_of_another_in_a_given_application_is_left_alone(
    session: boto3.session.Session, deployed: Callable[..., StackOutputs], jobs: ScriptedJobs
) -> None:
    machine = impatient(session, deployed("shared"))
    kept = machine.kept_application()
    client = session.client("emr-serverless")
    jobs.codes, jobs.lingers = [None, None], 1.5
    role, driver = "arn:aws:iam::123456789012:role/another", {"sparkSubmit": {"entryPoint": "s3://lake/main.py"}}
    client.start_application(applicationId=kept)
    another = client.start_job_run(
        applicationId=kept,
        clientToken="another",
        executionRoleArn=role,
        jobDriver=driver,  # type: ignore[arg-type]
    )["jobRunId"]
    execution = machine.run({**NAMED, "application_id": kept})
    runs = {run["id"]: run["state"] for run in client.list_job_runs(applicationId=kept)["jobRuns"]}
    client.cancel_job_run(applicationId=kept, jobRunId=another)
    assert execution.error == "States.Timeout"
    assert (runs[another], runs[jobs.started[1].job_run_id]) == ("RUNNING", "CANCELLED")


def test_a_stopped_execution_is_told_by_eventbridge_in_a_sentence(machine: Machine, jobs: ScriptedJobs) -> None:
    running = threading.Event()
    jobs.codes, jobs.on_start = [None], lambda _: running.set()
    arn = machine.start(NAMED)
    assert running.wait(30)
    machine.session.client("stepfunctions").stop_execution(executionArn=arn, error="Terminated", cause="by hand")
    (event,) = machine.events(arn, 1)
    assert event["sentence"] == f"The ingestion {arn.rpartition(':')[2]} is ABORTED: look at it in Step Functions."
    told = messages.parse(json.dumps(event))
    assert (told.status, told.execution_arn, told.request, told.error) == ("ABORTED", arn, NAMED, "Terminated")


def test_a_failed_execution_is_told_by_eventbridge_to_the_queue_alone(machine: Machine) -> None:
    execution = machine.run(["2024-02"])
    (event,) = machine.events(execution.arn, 1)
    assert "sentence" not in event
    told = messages.parse(json.dumps(event))
    assert (told.status, told.execution_arn, told.error) == ("FAILED", execution.arn, "InvalidInput")
