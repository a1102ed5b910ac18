"""What the template sends to AWS's services is within the lengths, ranges, patterns and enums of botocore's models.

CloudFormation itself checks hardly any of them before it makes the resources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StructureShape

from aws_setup.cloudformation import template
from aws_setup.local.emulator.core.casing import request_from_parameters
from aws_setup.local.emulator.core.coercion import coerced
from aws_setup.local.emulator.core.constraints import violations
from tests.validators import variants

SESSION = botocore.session.get_session()
LONGEST_NAME = "-" + "n" * 37

# The operations to which the properties of a type go, as far as they have the same names there.
OPERATIONS: Mapping[str, tuple[tuple[str, str, Mapping[str, str]], ...]] = {
    "AWS::S3::Bucket": (("s3", "CreateBucket", {"BucketName": "Bucket"}),),
    "AWS::SecretsManager::Secret": (("secretsmanager", "CreateSecret", {}),),
    "AWS::KMS::Key": (("kms", "CreateKey", {"KeyPolicy": "Policy"}),),
    "AWS::SQS::Queue": (("sqs", "CreateQueue", {}),),
    "AWS::SNS::Topic": (("sns", "CreateTopic", {"TopicName": "Name"}),),
    "AWS::SNS::Subscription": (("sns", "Subscribe", {}),),
    "AWS::CloudWatch::Alarm": (("cloudwatch", "PutMetricAlarm", {}),),
    "AWS::Events::Rule": (("events", "PutRule", {}), ("events", "PutTargets", {})),
    "AWS::EC2::SecurityGroup": (("ec2", "CreateSecurityGroup", {"GroupDescription": "Description"}),),
    "AWS::IAM::Role": (("iam", "CreateRole", {}),),
    "AWS::IAM::ManagedPolicy": (("iam", "CreatePolicy", {}),),
    "AWS::Logs::LogGroup": (("logs", "CreateLogGroup", {}),),
    "AWS::StepFunctions::StateMachine": (("stepfunctions", "CreateStateMachine", {"StateMachineName": "name"}),),
    "AWS::Scheduler::Schedule": (("scheduler", "CreateSchedule", {}),),
}
# Of these the models of the services say nothing, or their operations are called otherwise.
OTHERS = {
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
}


def operation(service: str, name: str) -> Any:
    return SESSION.get_service_model(service).operation_model(name)


def resources(variant: str, **more: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Logical id, type and properties, with example values for references and names of the greatest length."""
    given = {**variants.VARIANTS[variant], "NameSuffix": LONGEST_NAME, **more}
    document = variants.concrete(template.annotated(), given)
    values = variants.parameters(document, given)
    for name, resource in document["Resources"].items():
        yield name, resource["Type"], variants.with_names(resource["Properties"], document, values)


def wrong(name: str, kind: str, properties: Mapping[str, Any]) -> Iterator[str]:
    """The violations in the properties of a resource."""
    for service, called, renamed in OPERATIONS[kind]:
        shape = operation(service, called).input_shape
        named = {renamed.get(key, key): _text(value, key) for key, value in properties.items()}
        request = request_from_parameters(named, shape, check=False)
        known = {key: value for key, value in request.items() if key in shape.members}
        for line in violations(coerced(known, shape), shape):
            if "must not be null" not in line:  # CloudFormation makes up what is not given
                yield f"{name}: {service}.{called}: {line}"


def _text(value: Any, key: str) -> Any:
    """Policies and patterns are texts in the API."""
    return (
        json.dumps(value)
        if key in ("KeyPolicy", "AssumeRolePolicyDocument", "PolicyDocument", "EventPattern")
        else value
    )


@pytest.mark.parametrize("variant", list(variants.VARIANTS))
def test_the_properties_of_each_resource_are_within_the_models(variant: str) -> None:
    found = list(resources(variant))
    assert {kind for _, kind, _ in found} <= OPERATIONS.keys() | OTHERS
    assert [
        line for name, kind, properties in found if kind in OPERATIONS for line in wrong(name, kind, properties)
    ] == []


@pytest.mark.parametrize(
    ("kind", "properties", "line"),
    [
        ("AWS::Scheduler::Schedule", {"Name": "n" * 65}, "length less than or equal to 64"),
        ("AWS::IAM::Role", {"Description": "a \u2013 b"}, "must satisfy regular expression pattern"),
        ("AWS::Events::Rule", {"Description": "d" * 513}, "length less than or equal to 512"),
        ("AWS::CloudWatch::Alarm", {"ComparisonOperator": "Above"}, "must satisfy enum value set"),
        ("AWS::Events::Rule", {"Targets": [{"Id": "a b", "Arn": "x"}]}, "must satisfy regular expression pattern"),
    ],
)
def test_what_a_service_refuses_is_found(kind: str, properties: dict[str, Any], line: str) -> None:
    (found,) = wrong("R", kind, properties)
    assert line in found


def state_requests(variant: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Service, operation and the literal parameters of each task of the state machine, placeholders filled in."""
    (machine,) = [properties for name, _, properties in resources(variant) if name == "StateMachine"]
    definition = json.dumps(machine["Definition"])
    for key, value in machine["DefinitionSubstitutions"].items():
        definition = definition.replace("${" + key + "}", str(value))
    yield from _tasks(json.loads(definition))


def _tasks(node: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and node.get("Type") == "Task":
        service, name = node["Resource"].removesuffix(".sync").split(":")[-2:]
        service = {"emrserverless": "emr-serverless"}.get(service, service)
        yield service, name[0].upper() + name[1:], node["Parameters"]
    for child in children:
        yield from _tasks(child)


@pytest.mark.parametrize("variant", list(variants.VARIANTS))
def test_what_the_state_machine_sends_is_within_the_models(variant: str) -> None:
    requests = list(state_requests(variant))
    assert {name for _, name, _ in requests} >= {"CreateApplication", "StartJobRun", "StopApplication", "Publish"}
    for service, name, parameters in requests:
        shape = operation(service, name).input_shape
        assert unknown(parameters, shape) == [], name
        request = request_from_parameters(literal(parameters), shape, check=False)
        lines = [line for line in violations(request, shape) if "must not be null" not in line]
        assert lines == [], f"{service}.{name}"


def literal(node: Any) -> Any:
    """The parameters without those that Step Functions fills in at run time."""
    if isinstance(node, dict):
        return {key: literal(value) for key, value in node.items() if not key.endswith(".$")}
    return node


def unknown(node: Any, shape: Shape | None, path: str = "") -> list[str]:
    """The members that the operation does not have; Step Functions writes them with a capital."""
    if isinstance(node, dict) and isinstance(shape, StructureShape):
        members = {name.lower(): member for name, member in shape.members.items()}
        found = []
        for key, value in node.items():
            name = key.removesuffix(".$").lower()
            found += [f"{path}.{key}"] if name not in members else unknown(value, members[name], f"{path}.{key}")
        return found
    if isinstance(node, list) and isinstance(shape, ListShape):
        return [line for each in node for line in unknown(each, shape.member, path)]
    return []


def test_a_member_that_an_operation_does_not_have_is_found() -> None:
    shape = operation("emr-serverless", "CreateApplication").input_shape
    assert unknown({"AutoStopConfiguration": {"IdleTimeout": 5}}, shape) == [".AutoStopConfiguration.IdleTimeout"]


LIMITS = [
    ("JobTimeoutMinutes", "emr-serverless", "StartJobRun", "executionTimeoutMinutes"),
    ("ScheduleFlexibleWindowMinutes", "scheduler", "CreateSchedule", "FlexibleTimeWindow.MaximumWindowInMinutes"),
    ("ScheduleMaximumRetryAttempts", "scheduler", "CreateSchedule", "Target.RetryPolicy.MaximumRetryAttempts"),
    ("ScheduleMaximumEventAgeSeconds", "scheduler", "CreateSchedule", "Target.RetryPolicy.MaximumEventAgeInSeconds"),
]


@pytest.mark.parametrize(("parameter", "service", "called", "member"), LIMITS)
def test_the_range_of_a_parameter_is_one_that_its_service_accepts(
    parameter: str, service: str, called: str, member: str
) -> None:
    shape = operation(service, called).input_shape
    for part in member.split("."):
        shape = shape.members[part]
    about = template.parameters()[parameter]
    lowest = about["MinValue"] or shape.metadata["min"]  # 0 stands for none where a condition takes it away
    assert shape.metadata["min"] <= lowest
    assert about["MaxValue"] <= shape.metadata["max"]


def test_the_retention_of_logs_is_one_that_cloudwatch_accepts() -> None:
    text = operation("logs", "PutRetentionPolicy").input_shape.members["retentionInDays"].documentation
    known = {int(word) for word in text.replace(",", " ").replace(".", " ").split() if word.isdigit()}
    assert set(template.parameters()["LogRetentionDays"]["AllowedValues"]) <= known
