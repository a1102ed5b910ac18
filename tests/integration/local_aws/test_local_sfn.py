"""Step Functions: the emr-serverless integration, and executions as AWS has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.local_aws.conftest import ROLE, Aws, StateMachines, task, until

SLEEP = "import time; time.sleep(60)"


def job(entry_point: str, **fields: Any) -> dict[str, Any]:
    """Parameters of startJobRun on the application of the input."""
    return {
        "ApplicationId.$": "$.app",
        "ExecutionRoleArn": ROLE,
        "JobDriver": {"SparkSubmit": {"EntryPoint": entry_point, "EntryPointArguments": ["a b"]}},
        **fields,
    }


def job_states(aws: Aws, application: str) -> list[str]:
    runs = aws.client("emr-serverless").list_job_runs(applicationId=application)["jobRuns"]
    return [run["state"] for run in runs]


def test_every_api_of_the_integration_waits_for_its_state(aws: Aws, machines: StateMachines) -> None:
    of_app = {"ApplicationId.$": "$.made.ApplicationId"}
    entry_point = aws.script("fine.py", "import sys; assert sys.argv[1:] == ['a b']")
    output = machines.output(
        {
            "Create": task(
                "emr-serverless:createApplication.sync",
                {"Name": "mine", "ReleaseLabel": "emr-7.14.0", "Type": "SPARK"},
                ResultPath="$.made",
                Next="Start",
            ),
            "Start": task("emr-serverless:startApplication.sync", of_app, ResultPath="$.started", Next="Run"),
            "Run": task(
                "emr-serverless:startJobRun.sync",
                {**job(entry_point, ClientToken="once"), **of_app},
                ResultPath="$.run",
                Next="Stop",
            ),
            "Stop": task("emr-serverless:stopApplication.sync", of_app, ResultPath="$.stopped", Next="Delete"),
            "Delete": task("emr-serverless:deleteApplication.sync", of_app, ResultPath="$.deleted"),
        },
        {"app": "unused"},
    )

    steps = ("made", "started", "run", "stopped", "deleted")
    assert [output[name]["State"] for name in steps] == ["CREATED", "STARTED", "SUCCESS", "STOPPED", "TERMINATED"]
    assert len({output[name]["ApplicationId"] for name in steps}) == 1


def test_without_sync_a_task_answers_at_once(aws: Aws, machines: StateMachines, application: str) -> None:
    started = machines.output({"S": task("emr-serverless:startApplication", {"ApplicationId": application})})
    run = machines.output(
        {"R": task("emr-serverless:startJobRun", job(aws.script("s.py", SLEEP)))}, {"app": application}
    )
    cancelled = machines.output(
        {"C": task("emr-serverless:cancelJobRun.sync", {"ApplicationId": application, "JobRunId": run["JobRunId"]})}
    )

    assert started == {"ApplicationId": application}
    assert set(run) == {"ApplicationId", "JobRunId", "Arn"}
    assert cancelled["State"] == "CANCELLED"


def test_a_failed_job_is_task_failed_with_the_job_run_as_cause(
    aws: Aws, machines: StateMachines, application: str
) -> None:
    entry_point = aws.script("bad.py", "import sys; sys.exit('JobError: no such table')")

    ended = machines.run({"R": task("emr-serverless:startJobRun.sync", job(entry_point))}, {"app": application})

    job_run = json.loads(ended["cause"])
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    assert (job_run["ApplicationId"], job_run["State"]) == (application, "FAILED")
    assert job_run["StateDetails"].endswith("ExitCode: 1. Last few exceptions: JobError: no such table")


def test_a_refusal_of_the_service_has_its_name_and_can_be_caught(machines: StateMachines, application: str) -> None:
    catch = [{"ErrorEquals": ["EMRServerless.ValidationException"], "ResultPath": "$.error", "Next": "Caught"}]
    output = machines.output(
        {
            "Stop": task("emr-serverless:stopApplication.sync", {"ApplicationId": application}, Catch=catch),
            "Caught": {"Type": "Succeed"},
        }
    )

    assert output["error"]["Error"] == "EMRServerless.ValidationException"
    assert output["error"]["Cause"].startswith("Application cannot be STOPPED. Applications must be in one of")


def test_wrong_parameters_are_named_and_caught_by_nothing(machines: StateMachines, application: str) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    parameters = {"ApplicationId": 1, "name": "x"}
    ended = machines.run(
        {
            "Run": task("emr-serverless:startJobRun.sync", parameters, Catch=catch),
            "Caught": {"Type": "Succeed"},
        }
    )

    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert "The value for the field 'ApplicationId' must be a STRING" in ended["cause"]
    assert "The field 'name' is not supported by Step Functions" in ended["cause"]
    assert "The field 'ExecutionRoleArn' is required but was missing" in ended["cause"]


def test_a_failed_job_is_retried_as_a_run_of_its_own(aws: Aws, machines: StateMachines, application: str) -> None:
    mark = aws.lake / "data" / "second-time"
    entry_point = aws.script(
        "flaky.py",
        f"import pathlib, sys; m = pathlib.Path({str(mark)!r}); sys.exit(0 if m.exists() else m.write_text('x'))",
    )
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 2}]

    output = machines.output(
        {"R": task("emr-serverless:startJobRun.sync", job(entry_point), Retry=retry)}, {"app": application}
    )

    assert output["State"] == "SUCCESS"
    assert job_states(aws, application) == ["SUCCESS", "FAILED"]


def test_a_task_that_times_out_cancels_its_job_run(aws: Aws, machines: StateMachines, application: str) -> None:
    catch = [{"ErrorEquals": ["States.Timeout"], "ResultPath": "$.error", "Next": "Caught"}]
    run = task("emr-serverless:startJobRun.sync", job(aws.script("s.py", SLEEP)), TimeoutSeconds=1, Catch=catch)

    output = machines.output({"R": run, "Caught": {"Type": "Succeed"}}, {"app": application})

    assert output["error"]["Error"] == "States.Timeout"
    until(lambda: job_states(aws, application), ["CANCELLED"])


def test_a_stopped_execution_keeps_error_and_cause_and_cancels_its_job_run(
    aws: Aws, machines: StateMachines, application: str
) -> None:
    run = task("emr-serverless:startJobRun.sync", job(aws.script("s.py", SLEEP)))
    execution = machines.start({"R": run}, {"app": application})
    until(lambda: job_states(aws, application), ["RUNNING"])

    machines.client.stop_execution(executionArn=execution, error="Tired", cause="of waiting")

    ended = machines.ended(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Tired", "of waiting")
    until(lambda: job_states(aws, application), ["CANCELLED"])
    history = machines.client.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=1)
    assert history["events"][0]["type"] == "ExecutionAborted"


def test_an_execution_that_times_out_has_a_stop_date_and_cancels_its_job_run(
    aws: Aws, machines: StateMachines, application: str
) -> None:
    run = task("emr-serverless:startJobRun.sync", job(aws.script("s.py", SLEEP)))

    ended = machines.run({"R": run}, {"app": application}, TimeoutSeconds=2)

    assert ended["status"] == "TIMED_OUT"
    assert ended["stopDate"] > ended["startDate"]
    machine = ended["stateMachineArn"]
    assert "stopDate" in machines.client.list_executions(stateMachineArn=machine)["executions"][0]
    until(lambda: job_states(aws, application), ["CANCELLED"])


def test_a_fail_state_may_pass_on_an_error_of_step_functions(machines: StateMachines) -> None:
    fail = {"Type": "Fail", "ErrorPath": "$.error", "CausePath": "$.cause"}

    ended = machines.run({"F": fail}, {"error": "States.Timeout", "cause": "too slow"})

    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "States.Timeout", "too slow")


def test_an_execution_without_a_name_gets_one(machines: StateMachines) -> None:
    ended = machines.run({"P": {"Type": "Pass", "Parameters": {"name.$": "$$.Execution.Name"}, "End": True}})

    assert ended["executionArn"].endswith(f":{ended['name']}")
    assert json.loads(ended["output"]) == {"name": ended["name"]}


def test_a_name_with_forbidden_characters_is_refused(machines: StateMachines) -> None:
    machine = machines.create({"P": {"Type": "Pass", "End": True}})

    with pytest.raises(machines.client.exceptions.InvalidName, match="year=2024/month=1"):
        machines.client.start_execution(stateMachineArn=machine, name="year=2024/month=1")


def test_the_history_comes_in_pages_and_in_reverse(machines: StateMachines) -> None:
    execution = machines.ended(machines.start({"P": {"Type": "Pass", "End": True}}))["executionArn"]
    history = machines.client.get_execution_history

    first = history(executionArn=execution, maxResults=3)
    rest = history(executionArn=execution, maxResults=3, nextToken=first["nextToken"])
    backwards = history(executionArn=execution, reverseOrder=True)

    assert [event["type"] for event in first["events"] + rest["events"]] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    assert "nextToken" not in rest
    assert [event["id"] for event in backwards["events"]] == [4, 3, 2, 1]


def test_changes_of_status_are_events_on_the_default_bus(aws: Aws, machines: StateMachines) -> None:
    sqs, events = aws.client("sqs"), aws.client("events")
    queue = sqs.create_queue(QueueName="status")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.states"], "detail-type": ["Step Functions Execution Status Change"]}
    events.put_rule(Name="status", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="status", Targets=[{"Id": "queue", "Arn": arn}])

    ended = machines.run({"F": {"Type": "Fail", "Error": "Broken", "Cause": "a reason"}}, {"month": "2024-02"})

    details: list[Any] = []
    until(lambda: len(received(sqs, queue, details)), 2)
    assert [detail["status"] for detail in details] == ["RUNNING", "FAILED"]
    assert details[1]["executionArn"] == ended["executionArn"]
    assert (details[1]["error"], json.loads(details[1]["input"])) == ("Broken", {"month": "2024-02"})


def test_an_event_reaches_a_topic_and_one_that_nobody_takes_the_dead_letter_queue(
    aws: Aws, machines: StateMachines
) -> None:
    sqs, sns, events = aws.client("sqs"), aws.client("sns"), aws.client("events")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("told", "dead", "gone")}
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in urls.items()
    }
    topic = sns.create_topic(Name="ends")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["told"], Attributes={"RawMessageDelivery": "true"})
    sqs.delete_queue(QueueUrl=urls["gone"])
    pattern = {"source": ["aws.states"], "detail": {"status": ["FAILED"]}}
    transformer = {"InputPathsMap": {"error": "$.detail.error"}, "InputTemplate": '{"sentence": "It is <error>."}'}
    events.put_rule(Name="ends", EventPattern=json.dumps(pattern))
    targets = [
        {"Id": "gone", "Arn": arns["gone"], "DeadLetterConfig": {"Arn": arns["dead"]}},
        {"Id": "topic", "Arn": topic, "InputTransformer": transformer},
    ]
    events.put_targets(Rule="ends", Targets=targets)

    ended = machines.run({"F": {"Type": "Fail", "Error": "Broken", "Cause": "a reason"}})

    (told,) = sqs.receive_message(QueueUrl=urls["told"], WaitTimeSeconds=5)["Messages"]
    (dead,) = sqs.receive_message(QueueUrl=urls["dead"], WaitTimeSeconds=5)["Messages"]
    assert json.loads(told["Body"]) == {"sentence": "It is Broken."}
    assert json.loads(dead["Body"])["detail"]["executionArn"] == ended["executionArn"]


def received(sqs: Any, queue: str, details: list[Any]) -> list[Any]:
    for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        details.append(json.loads(message["Body"])["detail"])
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return details


def test_the_sdk_integration_takes_and_gives_pascal_case(machines: StateMachines, application: str) -> None:
    got = machines.output({"G": task("aws-sdk:emrserverless:getApplication", {"ApplicationId": application})})
    refused = machines.run({"G": task("aws-sdk:emrserverless:getApplication", {"ApplicationId": "nothere"})})

    assert got["Application"]["ApplicationId"] == application
    assert got["Application"]["AutoStopConfiguration"] == {"Enabled": True, "IdleTimeoutMinutes": 15}
    assert refused["error"] == "EmrServerless.ResourceNotFoundException"


@pytest.mark.parametrize("resource", ["emr-serverless:listJobRuns", "emr-serverless:startJobRun.waitForTaskToken"])
def test_what_the_integration_does_not_know_is_refused_at_creation(machines: StateMachines, resource: str) -> None:
    with pytest.raises(machines.client.exceptions.InvalidDefinition, match="not recognized"):
        machines.create({"T": task(resource, {})})


def test_each_protocol_of_a_topic_gets_its_own_body(aws: Aws, machines: StateMachines) -> None:
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name="news")["TopicArn"]
    queue = sqs.create_queue(QueueName="news")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    raw = {"RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
    message = {"default": "a sentence", "sqs.$": "States.JsonToString($.payload)"}

    machines.output(
        {
            "Publish": task(
                "sns:publish",
                {"TopicArn": topic, "MessageStructure": "json", "Message": message},
                ResultPath="$.published",
                Next="Send",
            ),
            "Send": task("sqs:sendMessage", {"QueueUrl": queue, "MessageBody.$": "$.payload"}),
        },
        {"payload": {"n": 1, "nothing": None}},
    )

    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(message["Body"]) for message in messages] == [{"n": 1, "nothing": None}] * 2


def test_intrinsics_that_check_an_input_work(machines: StateMachines) -> None:
    merge = "States.JsonMerge($.defaults, $$.Execution.Input, false)"
    states = {
        "Merge": {"Type": "Pass", "Parameters": {"merged.$": merge, "defaults.$": "$.defaults"}, "Next": "All"},
        "All": {"Type": "Pass", "Parameters": {"all.$": "$.merged.*"}, "Next": "Count"},
        "Count": {"Type": "Pass", "Parameters": {"count.$": "States.ArrayLength($.all)"}, "End": True},
    }

    output = machines.output(states, {"defaults": {"a": None, "b": 1}, "a": None, "c": None})

    assert output == {"count": 4}  # a, b, c and defaults itself


@pytest.mark.parametrize(
    ("text", "is_timestamp"),
    [
        ("2026-03-15T08:00:00Z", True),
        ("2026-03-15T08:00:00.123Z", True),
        ("2026-03-15T08:00:00+01:00", True),
        ("2026-03-15 08:00:00Z", False),
        ("2026-13-15T08:00:00Z", False),
        ("2026-03-15", False),
    ],
)
def test_a_timestamp_is_rfc_3339(machines: StateMachines, text: str, *, is_timestamp: bool) -> None:
    choice = {"Variable": "$.t", "IsTimestamp": True, "Next": "Yes"}
    states = {
        "C": {"Type": "Choice", "Choices": [choice], "Default": "No"},
        "Yes": {"Type": "Pass", "Result": True, "End": True},
        "No": {"Type": "Pass", "Result": False, "End": True},
    }

    assert machines.output(states, {"t": text}) is is_timestamp
