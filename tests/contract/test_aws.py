"""What this project relies on AWS to do, and the local account claims to do as well. Each test names the page.

The pages are those of docs.aws.amazon.com. See conftest.py for how to run them on a real stack, and what that does.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_setup.checks.applications import NOT_DELETED
from aws_setup.cli import main
from ingest_assets.aws.executions import describe, follow
from ingest_assets.aws.stack import stack_tags
from tests.contract.conftest import Environment, Mailbox

pytestmark = pytest.mark.aws

Capture = pytest.CaptureFixture[str]
SMALL = os.environ.get("AWS_CONTRACT_INPUT", '{"table": "mockrecord", "months": ["2024-02"]}')


@pytest.fixture(scope="module")
def refused(aws: Environment, mailbox: Mailbox) -> str:
    """An execution with an input of the wrong form, ended."""
    client = aws.session.client("stepfunctions")
    made = client.start_execution(
        stateMachineArn=aws.outputs.state_machine_arn,
        name=f"contract-refused-{secrets.token_hex(6)}",
        input='{"tables": ["mockrecord"]}',
    )
    follow(client, made["executionArn"], lambda _: None, deadline_seconds=120)
    return made["executionArn"]


def test_outputs_name_what_is_there(aws: Environment) -> None:
    """AWSCloudFormation/latest/UserGuide/outputs-section-structure.html."""
    outputs, session = aws.outputs, aws.session
    session.client("s3").head_bucket(Bucket=outputs.bucket_name)
    for topic in (aws.output("SuccessTopicArn"), outputs.failure_topic_arn):
        assert session.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["TopicArn"] == topic
    machine = session.client("stepfunctions").describe_state_machine(stateMachineArn=outputs.state_machine_arn)
    assert machine["type"] == "STANDARD"
    secret = session.client("secretsmanager").describe_secret(SecretId=outputs.database_secret_arn)
    assert secret["ARN"] == outputs.database_secret_arn


def test_the_stack_tags_its_bucket_and_its_secret(aws: Environment) -> None:
    """AWSCloudFormation/latest/UserGuide/cfn-console-add-tags.html; the import of kept resources rests on it."""
    filters = [{"Key": key, "Values": [value]} for key, value in stack_tags(aws.stack).items()]
    client: Any = aws.session.client("resourcegroupstaggingapi")  # no stubs are installed for it
    pages = client.get_paginator("get_resources").paginate(TagFilters=filters, ResourceTypeFilters=["s3"])
    arns = [one["ResourceARN"] for page in pages for one in page["ResourceTagMappingList"]]
    assert [arn.rpartition(":")[2] for arn in arns] == [aws.outputs.bucket_name]


def test_the_schedule_starts_the_state_machine_with_its_time(aws: Environment) -> None:
    """scheduler/latest/UserGuide/managing-schedule-context-attributes.html and configuring-schedule-dlq.html."""
    schedule = aws.session.client("scheduler").get_schedule(Name=aws.outputs.schedule_name)
    target, parameters = schedule["Target"], aws.description()["Parameters"]
    deployed = {one["ParameterKey"]: one["ParameterValue"] for one in parameters}
    assert target["Arn"] == aws.outputs.state_machine_arn
    assert json.loads(target.get("Input", "")) == {"refresh": True}
    dead = aws.attributes(aws.output("ScheduleDeadLetterQueueUrl"))
    assert target.get("DeadLetterConfig", {}) == {"Arn": dead["QueueArn"]}
    assert target.get("RetryPolicy", {}) == {
        "MaximumEventAgeInSeconds": int(deployed["ScheduleMaximumEventAgeSeconds"]),
        "MaximumRetryAttempts": int(deployed["ScheduleMaximumRetryAttempts"]),
    }
    assert schedule["ScheduleExpression"] == deployed["ScheduleExpression"]
    assert schedule.get("ScheduleExpressionTimezone") == deployed["ScheduleTimezone"]


def test_the_queue_takes_messages_of_services_that_name_their_source_only(aws: Environment) -> None:
    """sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html."""
    attributes = aws.attributes(aws.outputs.queue_url)
    for statement in attributes["Policy"]["Statement"]:
        assert set(statement["Principal"]) == {"Service"}
        assert statement["Action"] in ("sqs:SendMessage", "SQS:SendMessage")
        assert statement["Resource"] == attributes["QueueArn"]
        assert "aws:SourceArn" in statement["Condition"]["ArnEquals"]
    topics = {aws.output("SuccessTopicArn"), aws.outputs.failure_topic_arn}
    sources = [one["Condition"]["ArnEquals"]["aws:SourceArn"] for one in attributes["Policy"]["Statement"]]
    assert topics in [set(source) for source in sources if isinstance(source, list)]


def test_what_nobody_can_read_goes_to_the_dead_letter_queue(aws: Environment) -> None:
    """AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html."""
    redrive = aws.attributes(aws.outputs.queue_url)["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == aws.attributes(aws.output("DeadLetterQueueUrl"))["QueueArn"]
    assert int(redrive["maxReceiveCount"]) >= 5


def test_a_wrong_input_fails_without_an_application(aws: Environment, refused: str) -> None:
    """step-functions/latest/dg/state-choice.html."""
    client = aws.session.client("stepfunctions")
    ended = describe(client, refused)
    assert ended.status == "FAILED"
    pages = client.get_paginator("get_execution_history").paginate(executionArn=refused)
    tasks = [
        event["taskScheduledEventDetails"]["resource"]
        for page in pages
        for event in page["events"]
        if event["type"] == "TaskScheduled"
    ]
    assert not any(task.startswith(("createApplication", "startJobRun")) for task in tasks), tasks


def test_a_failure_reaches_the_subscribers_as_json_in_an_envelope(mailbox: Mailbox, refused: str) -> None:
    """sns/latest/dg/sns-message-and-json-formats.html."""
    envelope, notification = mailbox.of(refused)
    assert {"Type", "MessageId", "TopicArn", "Message", "Timestamp"} <= set(envelope)
    assert envelope["Type"] == "Notification"
    assert (notification.status, notification.source) == ("FAILED", "state-machine")
    assert notification.request == {"tables": ["mockrecord"]}
    assert notification.application_id is None


def test_a_name_is_used_once(aws: Environment, refused: str) -> None:
    """step-functions/latest/apireference/API_StartExecution.html."""
    client = aws.session.client("stepfunctions")
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        client.start_execution(
            stateMachineArn=aws.outputs.state_machine_arn, name=refused.rpartition(":")[2], input='{"other": 1}'
        )


def test_a_deployment_without_a_change_leaves_stack_and_secret_as_they_are(aws: Environment, capsys: Capture) -> None:
    """AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html."""
    assert main(["deploy", "--dry-run"]) == 0
    if aws.real and "would not change" not in capsys.readouterr().out:
        pytest.skip(f"deploy this checkout to {aws.stack} first: a test does not change a real stack")
    client, secret = aws.session.client("secretsmanager"), aws.outputs.database_secret_arn

    def versions() -> Any:
        return client.describe_secret(SecretId=secret)["VersionIdsToStages"]

    before, changed = versions(), aws.description().get("LastUpdatedTime")
    assert main(["deploy"]) == 0
    assert f"stack {aws.stack} is up to date" in capsys.readouterr().out
    assert (versions(), aws.description().get("LastUpdatedTime")) == (before, changed)


def test_an_execution_ingests_a_month_and_leaves_no_application(
    aws: Environment, mailbox: Mailbox, capsys: Capture
) -> None:
    """step-functions/latest/dg/connect-emr-serverless.html: each .sync task waits for its end."""
    assert main(["trigger", "--wait", "--input", SMALL]) == 0
    execution = capsys.readouterr().out.splitlines()[0].split()[1]
    envelope, notification = mailbox.of(execution)
    assert envelope["TopicArn"] == aws.output("SuccessTopicArn")
    assert (notification.status, notification.source) == ("SUCCEEDED", "state-machine")
    assert notification.request == json.loads(SMALL)
    assert notification.job_run_id
    assert notification.application_id
    client = aws.session.client("emr-serverless")
    for _ in range(30):
        listed = client.get_paginator("list_applications").paginate(states=NOT_DELETED)
        if notification.application_id not in {one["id"] for page in listed for one in page["applications"]}:
            return
        time.sleep(2)
    raise AssertionError(f"the application {notification.application_id} was not deleted")
