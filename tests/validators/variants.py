"""The template as it is for given parameters: its conditions worked out, so that validators see what AWS would make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aws_setup.cloudformation import template

ACCOUNT, REGION, PARTITION = "123456789012", "us-east-1", "aws"
STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/example/1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": PARTITION,
    "AWS::StackName": "example",
    "AWS::StackId": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}

_SET_BY_DEPLOY = {"ScriptPrefix": "script/0a1b", "DriverKey": "jar/0a1b/postgresql.jar"}

# Between them every condition of the template is true once and false once.
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "defaults": {"BucketName": "example-lake"},
    "everything": {
        "BucketName": "example-lake",
        "NameSuffix": "-example",
        "SuccessEmail": "success@example.com",
        "FailureEmail": "failure@example.com",
        "DatabaseSecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:example-a1b2c3",
        "DatabaseSecretKmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-1111-1111-111111111111",
        "CreateAwsKeysSecret": "true",
        "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000",
        "RawDataRetentionDays": "365",
        "GlueDatabase": "raw",
        "SubnetIds": "subnet-0a1b2c3d,subnet-1a1b2c3d",
        "VpcId": "vpc-0a1b2c3d",
        "DatabaseSecurityGroupId": "sg-0a1b2c3d",
        "DatabaseCidr": "10.0.8.0/24",
        "WorkerTraffic": "true",
        "ScheduleFlexibleWindowMinutes": "0",
    },
}

_ABSENT = object()


def variant(name: str) -> dict[str, Any]:
    """The template with the parameters of VARIANTS[name]."""
    return concrete(template.annotated(), VARIANTS[name])


def conditions(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, bool]:
    """What each condition of the template comes to."""
    values = parameters(document, given)
    return {name: _holds(condition, document, values) for name, condition in document["Conditions"].items()}


def parameters(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """The value of each parameter: the given one, else its default."""
    defaults = {name: str(about["Default"]) for name, about in document["Parameters"].items() if "Default" in about}
    return {**defaults, **_SET_BY_DEPLOY, **given}


def concrete(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The template without conditions: what they leave out is gone, Fn::If is what it comes to."""
    held = conditions(document, given)
    kept = {
        part: {name: about for name, about in document[part].items() if held.get(about.get("Condition", ""), True)}
        for part in ("Resources", "Outputs")
    }
    rest = {part: document[part] for part in document if part not in ("Rules", "Conditions", "Parameters", *kept)}
    values = parameters(document, given)
    declared = {name: {**about, "Default": values[name]} for name, about in document["Parameters"].items()}
    resolved = _without_ifs({**rest, **kept, "Parameters": declared}, held)
    for about in (*resolved["Resources"].values(), *resolved["Outputs"].values()):
        about.pop("Condition", None)
    assert isinstance(resolved, dict)
    return resolved


def _holds(condition: Any, document: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    ((function, argument),) = condition.items()
    if function == "Condition":
        return _holds(document["Conditions"][argument], document, values)
    if function == "Fn::Not":
        return not _holds(argument[0], document, values)
    if function == "Fn::And":
        return all(_holds(each, document, values) for each in argument)
    if function == "Fn::Equals":
        left, right = (_text(each, values) for each in argument)
        return left == right
    raise ValueError(f"{function} in a condition")


def _text(value: Any, values: Mapping[str, str]) -> str:
    if isinstance(value, dict) and "Ref" in value:
        return values[value["Ref"]]
    if isinstance(value, dict) and "Fn::Join" in value:
        delimiter, joined = value["Fn::Join"]
        return str(delimiter).join(_text(joined, values).split(","))
    return str(value)


def _without_ifs(node: Any, held: Mapping[str, bool]) -> Any:
    if isinstance(node, dict) and "Fn::If" in node:
        name, then, otherwise = node["Fn::If"]
        return _without_ifs(then if held[name] else otherwise, held)
    if node == {"Ref": "AWS::NoValue"}:
        return _ABSENT
    if isinstance(node, dict):
        members = {key: _without_ifs(value, held) for key, value in node.items()}
        return {key: value for key, value in members.items() if value is not _ABSENT}
    if isinstance(node, list):
        return [value for value in (_without_ifs(each, held) for each in node) if value is not _ABSENT]
    return node


def policies(document: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The policies of a template without conditions, by resource, with example names for what is referred to.

    Trust policies, which name no resource, are not among them.
    """
    values = parameters(document, given)
    return {
        f"{name}.{number}": with_names(found, document, values)
        for name, resource in document["Resources"].items()
        for number, found in enumerate(_documents(resource))
    }


def _documents(node: Any) -> list[Any]:
    if isinstance(node, dict) and "Statement" in node:
        return [node]
    if isinstance(node, dict):
        node = [value for key, value in node.items() if key != "AssumeRolePolicyDocument"]
    children = node if isinstance(node, list) else ()
    return [found for child in children for found in _documents(child)]


def with_names(node: Any, document: Mapping[str, Any], values: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [with_names(each, document, values) for each in node]
    if not isinstance(node, dict):
        return node
    if "Ref" in node:
        name = _name(node["Ref"], document, values)
        is_list = document["Parameters"].get(node["Ref"], {}).get("Type") == "CommaDelimitedList"
        return name.split(",") if is_list else name
    if "Fn::GetAtt" in node:
        return _name(".".join(node["Fn::GetAtt"]), document, values)
    if "Fn::Sub" in node:
        return re.sub(r"\$\{([^}]+)\}", lambda found: _name(found[1], document, values), node["Fn::Sub"])
    return {key: with_names(value, document, values) for key, value in node.items()}


_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{name}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{{name}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{name}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{name}}",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{name}}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{name}}-a1b2c3",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{name}}",
}
_REF_IS_ARN = ("AWS::SNS::Topic", "AWS::SecretsManager::Secret", "AWS::StepFunctions::StateMachine")


def _name(reference: str, document: Mapping[str, Any], values: Mapping[str, str]) -> str:
    """What Ref, Fn::GetAtt (`Resource.Attribute`) or `${…}` gives, with the logical id as the resource's name."""
    if reference in PSEUDO or reference in values:
        return {**values, **PSEUDO}[reference]
    logical_id, _, attribute = reference.partition(".")
    kind = document["Resources"][logical_id]["Type"]
    name = logical_id.lower() if kind == "AWS::S3::Bucket" else logical_id
    if attribute == "Arn" or (not attribute and kind in _REF_IS_ARN):
        return _ARNS[kind].format(name=name)
    return name
