"""What AWS answers to a deployment, as documented, for a Stubber to give."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.stub import ANY

from tests.unit.aws.fakes import CHANGE_SET, STACK_ID, FakeSession

STACK = "data-lake-ingestion"
OUTPUTS = {
    "BucketName": "lake",
    "QueueUrl": "https://sqs/queue",
    "SuccessTopicArn": "arn:success",
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


def nothing_kept(session: FakeSession) -> None:
    """No earlier stack of this name left anything."""
    session.script("resourcegroupstaggingapi").add_response("get_resources", {"ResourceTagMappingList": []})
    session.script("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")


def version(session: FakeSession, current: str) -> None:
    """The secret's current version."""
    answer = {"VersionIdsToStages": {current: ["AWSCURRENT"], "0" * 32: ["AWSPREVIOUS"]}}
    session.script("secretsmanager").add_response("describe_secret", answer, {"SecretId": "arn:aws:secret"})


def secret_stays(session: FakeSession) -> None:
    """The secret has the same value before and after the update."""
    version(session, "1" * 32)
    version(session, "1" * 32)


def idle(session: FakeSession) -> None:
    """No execution runs, and there is nothing old to delete."""
    session.script("stepfunctions").add_response(
        "list_executions", {"executions": []}, {"stateMachineArn": "arn:machine", "statusFilter": "RUNNING"}
    )
    for _ in range(2):
        session.script("s3").add_response("list_objects_v2", {}, {"Bucket": "lake", "Prefix": ANY})


def missing(session: FakeSession) -> None:
    session.script("cloudformation").add_client_error("describe_stacks", "ValidationError", "does not exist")


def stack_is(
    status: str, parameters: dict[str, str] | None = None, outputs: dict[str, str] = OUTPUTS
) -> tuple[str, Answer]:
    stack = {
        "StackId": STACK_ID,
        "StackName": STACK,
        "StackStatus": status,
        "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }
    return "describe_stacks", {"Stacks": [stack]}


def change_set(status: str, reason: str = "", changes: tuple[str, ...] = ()) -> tuple[str, Answer]:
    listed = [
        {"Type": "Resource", "ResourceChange": {"Action": "Modify", "LogicalResourceId": name, "ResourceType": "T",
                                                "Replacement": "True", "Details": [{"Target": {"Name": "Definition"}}]}}
        for name in changes
    ]  # fmt: skip
    return "describe_change_set", {"Status": status, "StatusReason": reason, "Changes": listed}


MADE = ("create_change_set", {"Id": CHANGE_SET, "StackId": STACK_ID})
DELETED: tuple[str, Answer] = ("delete_change_set", {})
EXECUTED: tuple[str, Answer] = ("execute_change_set", {})


def events(*lines: tuple[str, str, str]) -> tuple[str, Answer]:
    """Events in the order in which they happened: status, resource, reason. The stack's own id is that of the stack."""
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
