"""AWS's documented answers to a deployment, for a Stubber.

CFN/ is https://docs.aws.amazon.com/AWSCloudFormation/latest/; a public incident is named by its address. Shapes and
enums are checked by the Stubber against botocore's models.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.stub import ANY

from tests.unit.aws_setup.fakes import CHANGE_SET, STACK_ID, FakeSession

STACK = "data-lake-ingestion"
OUTPUTS = {
    "BucketName": "lake",
    "QueueUrl": "https://sqs/queue",
    "FailureTopicArn": "arn:failure",
    "StateMachineArn": "arn:machine",
    "ScheduleName": "schedule",
    "DatabaseSecretArn": "arn:aws:secret",
}
Answer = dict[str, Any]


def script(session: FakeSession, *calls: tuple[str, Answer]) -> None:
    for method, answer in calls:
        session.script("cloudformation").add_response(method, answer)


def known(session: FakeSession) -> None:
    """AWS knows the caller."""
    answer = {"Arn": "arn:aws:iam::123456789012:user/me", "Account": "123456789012"}
    for _ in range(2):  # deploy says where it deploys, and its preflight asks too
        session.script("sts").add_response("get_caller_identity", answer)


def nothing_retained(session: FakeSession) -> None:
    """An earlier stack of this name left nothing behind.

    An empty list: resourcegroupstagging/latest/APIReference/API_GetResources.html; a missing secret:
    secretsmanager/latest/apireference/API_DescribeSecret.html.
    """
    session.script("resourcegroupstaggingapi").add_response("get_resources", {"ResourceTagMappingList": []})
    session.script("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")


def idle(session: FakeSession) -> None:
    """No execution runs, and there is nothing old to delete."""
    session.script("stepfunctions").add_response(
        "list_executions", {"executions": []}, {"stateMachineArn": "arn:machine", "statusFilter": "RUNNING"}
    )
    for _ in range(2):
        session.script("s3").add_response("list_objects_v2", {}, {"Bucket": "lake", "Prefix": ANY})


def missing(session: FakeSession) -> None:
    """CFN/APIReference/API_DescribeStacks.html: "If the stack doesn't exist, a ValidationError is returned"."""
    session.script("cloudformation").add_client_error("describe_stacks", "ValidationError", "does not exist")


def stack_is(
    status: str, parameters: dict[str, str] | None = None, outputs: dict[str, str] = OUTPUTS
) -> tuple[str, Answer]:
    """CFN/UserGuide/using-cfn-describing-stacks.html has the statuses and what is possible in each.

    A stack that was never made or is deleted has no outputs.
    """
    stack = {
        "StackId": STACK_ID,
        "StackName": STACK,
        "StackStatus": status,
        "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }
    return "describe_stacks", {"Stacks": [stack]}


def change_set(
    status: str, reason: str = "", changes: tuple[str, ...] = (), action: str = "Modify"
) -> tuple[str, Answer]:
    """CFN/APIReference/API_DescribeChangeSet.html and API_ResourceChange.html.

    What AWS says of one without changes is in github.com/aws-cloudformation/rain/issues/94 (a change set) and
    github.com/aws/aws-cli/issues/4043 (the other reason, of templates with a transform).
    """
    modified = {"Replacement": "True", "Details": [{"Target": {"Name": "Definition"}}]} if action == "Modify" else {}
    listed = [
        {"Type": "Resource", "ResourceChange": {"Action": action, "LogicalResourceId": name, "ResourceType": "T"}}
        for name in changes
    ]
    for one in listed:
        one["ResourceChange"] |= modified  # type: ignore[operator]
    return "describe_change_set", {"Status": status, "StatusReason": reason, "Changes": listed}


MADE = ("create_change_set", {"Id": CHANGE_SET, "StackId": STACK_ID})
DELETED: tuple[str, Answer] = ("delete_change_set", {})
EXECUTED: tuple[str, Answer] = ("execute_change_set", {})


def events(*lines: tuple[str, str, str]) -> tuple[str, Answer]:
    """Events in the order in which they happened: status, resource, reason. The stack's own id is that of the stack.

    CFN/APIReference/API_DescribeStackEvents.html: in reverse chronological order. That what failed with another
    resource is "Resource update cancelled" is in github.com/convox/rack/issues/2142.
    """
    listed = [
        {
            "StackId": STACK_ID,
            "EventId": f"{status}-{name}",
            "StackName": STACK,
            "LogicalResourceId": name,
            "PhysicalResourceId": STACK_ID if name == STACK else name,
            "ResourceType": "AWS::Some::Type",
            "Timestamp": datetime(2026, 1, 1, tzinfo=UTC),
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
        }
        for status, name, reason in lines
    ]
    return "describe_stack_events", {"StackEvents": listed[::-1]}


def uploads(session: FakeSession, bucket: str = "lake") -> None:
    for _ in range(4):
        session.script("s3").add_response("put_object", {}, {"Bucket": bucket, "Key": ANY, "Body": ANY})
