"""The policy of each caller allows every operation of AWS that its code can call."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aws_setup.cloudformation import template
from tests.access import static
from tests.access.policies import Policies, Request
from tests.validators import variants

ROOT = Path(__file__).parents[3]
DEPLOYER = json.loads((ROOT / "docs" / "production" / "deployer-policy.json").read_text(encoding="utf-8"))
ACCOUNT, REGION, STACK = "123456789012", "eu-central-1", "data-lake-prod"

# In the example's account each resource may be anything: the comparison is of actions.
ANY = "*"


def allowed(document: Any) -> set[str]:
    """The actions of a policy, with their wildcards."""
    listed = [statement["Action"] for statement in document["Statement"]]
    return {action for one in listed for action in ([one] if isinstance(one, str) else one)}


def missing(needed: set[str], document: Any) -> set[str]:
    """The needed actions that the policy allows on no resource."""
    patterns = [re.escape(action).replace(r"\*", ".*") for action in allowed(document)]
    return {action for action in needed if not any(re.fullmatch(pattern, action) for pattern in patterns)}


def policy(name: str, variant: str = "everything") -> Any:
    """A policy of the template."""
    return variants.policies(variants.variant(variant), variants.VARIANTS[variant])[name]


def test_dagster_may_make_every_call_of_its_code() -> None:
    needed = static.actions(static.modules("ingest_assets"))
    assert {"sqs:ChangeMessageVisibility", "states:StopExecution", "sns:Publish", "s3:GetObject"} <= needed
    assert missing(needed, policy("DagsterHostPolicy.0")) == set()


def test_the_job_may_make_every_call_of_its_code() -> None:
    needed = static.actions(static.modules("spark_scripts"))
    assert {"s3:PutObject", "secretsmanager:GetSecretValue", "glue:UpdatePartition"} <= needed
    assert missing(needed, policy("JobRole.0")) == set()


def deployer_needs() -> set[str]:
    own = static.modules("aws_setup", without="local")
    return static.actions([*own, *static.borrowed("ingest_assets", own)])


def test_the_deployer_may_make_every_call_of_the_commands() -> None:
    needed = deployer_needs()
    assert {"cloudformation:ExecuteChangeSet", "tag:GetResources", "elasticmapreduce:ListReleaseLabels"} <= needed
    assert {"states:GetExecutionHistory", "emr-serverless:GetJobRun"} <= needed  # by way of ingest_assets
    assert "states:StopExecution" not in needed
    assert missing(needed, DEPLOYER) == set()


@pytest.mark.parametrize("left_out", ["cloudformation:GetTemplate", "s3:DeleteObject", "emr-serverless:GetJobRun"])
def test_an_action_that_is_left_out_of_the_deployers_policy_is_found(left_out: str) -> None:
    text = json.dumps(DEPLOYER).replace(f'"{left_out}"', '"sts:GetCallerIdentity"')
    assert missing(deployer_needs(), json.loads(text)) == {left_out}


def test_a_call_is_found_in_each_form_in_which_code_writes_it() -> None:
    code = 'client.get_paginator("list_objects_v2"); queue.change_message_visibility(QueueUrl=u, ReceiptHandle=r)'
    assert static.actions([ast.parse(code)]) == {"s3:ListBucket", "sqs:ChangeMessageVisibility"}


def every_document() -> dict[str, Any]:
    found = {
        f"{variant}.{name}": document
        for variant, given in variants.VARIANTS.items()
        for name, document in variants.policies(variants.variant(variant), given).items()
    }
    return {**found, "deployer": DEPLOYER}


def test_every_action_of_a_policy_is_one_of_aws() -> None:
    """The Service Authorization Reference, as cfn-lint carries it."""
    for name, document in every_document().items():
        for action in allowed(document):
            pattern = re.escape(action.lower()).replace(r"\*", ".*")
            assert any(re.fullmatch(pattern, known) for known in static.known_actions()), f"{name}: {action}"


@pytest.mark.parametrize("name", ["JobRole.0", "StateMachineRole.0", "SchedulerRole.0", "DagsterHostPolicy.0"])
def test_the_policies_are_not_longer_than_iam_accepts(name: str) -> None:
    """IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters for a managed policy, white space not counted.

    Those of a role may have 10,240 together; ours have one each.
    """
    longest = 6_144 if name.startswith("DagsterHost") else 10_240
    assert len(re.sub(r"\s", "", json.dumps(policy(name)))) < longest * 0.75  # names may be longer than the example's


def test_the_deployer_s_policy_fits_into_a_managed_policy_with_longer_names_too() -> None:
    longer = json.dumps(DEPLOYER).replace(STACK, "s" * 38).replace("example-data-lake-prod", "b" * 63)
    assert len(re.sub(r"\s", "", longer)) <= 6_144


# What CloudFormation does first with a resource, with the rights of who deploys, and to what.
MADE: dict[str, tuple[str, str]] = {
    "AWS::S3::Bucket": ("s3:CreateBucket", "arn:aws:s3:::{BucketName}"),
    "AWS::S3::BucketPolicy": ("s3:PutBucketPolicy", "arn:aws:s3:::example-data-lake-prod"),
    "AWS::SecretsManager::Secret": (
        "secretsmanager:CreateSecret",
        "arn:aws:secretsmanager:{here}:secret:{Name}-a1b2c3",
    ),
    "AWS::KMS::Key": ("kms:CreateKey", "*"),
    "AWS::SQS::Queue": ("sqs:CreateQueue", "arn:aws:sqs:{here}:{QueueName}"),
    "AWS::SQS::QueuePolicy": ("sqs:SetQueueAttributes", "arn:aws:sqs:{here}:stepfunction_datapipeline-data-lake-prod"),
    "AWS::SNS::Topic": ("sns:CreateTopic", "arn:aws:sns:{here}:{TopicName}"),
    "AWS::SNS::TopicPolicy": ("sns:SetTopicAttributes", "arn:aws:sns:{here}:failurejob-data-lake-prod"),
    "AWS::SNS::Subscription": ("sns:Subscribe", "arn:aws:sns:{here}:failurejob-data-lake-prod"),
    "AWS::CloudWatch::Alarm": ("cloudwatch:PutMetricAlarm", "arn:aws:cloudwatch:{here}:alarm:{AlarmName}"),
    "AWS::Events::Rule": ("events:PutRule", "arn:aws:events:{here}:rule/data-lake-prod-{id}-A1B2C3"),
    "AWS::EC2::SecurityGroup": ("ec2:CreateSecurityGroup", "arn:aws:ec2:{here}:security-group/sg-0"),
    "AWS::EC2::SecurityGroupEgress": ("ec2:AuthorizeSecurityGroupEgress", "arn:aws:ec2:{here}:security-group/sg-0"),
    "AWS::EC2::SecurityGroupIngress": ("ec2:AuthorizeSecurityGroupIngress", "arn:aws:ec2:{here}:security-group/sg-0"),
    "AWS::IAM::Role": ("iam:PutRolePolicy", "arn:aws:iam::123456789012:role/data-lake-prod-{id}-A1B2C3"),
    "AWS::IAM::ManagedPolicy": ("iam:CreatePolicy", "arn:aws:iam::123456789012:policy/data-lake-prod-{id}-A1B2C3"),
    "AWS::Logs::LogGroup": ("logs:CreateLogGroup", "arn:aws:logs:{here}:log-group:{LogGroupName}"),
    "AWS::StepFunctions::StateMachine": (
        "states:CreateStateMachine",
        "arn:aws:states:{here}:stateMachine:{StateMachineName}",
    ),
    "AWS::Scheduler::Schedule": ("scheduler:CreateSchedule", "arn:aws:scheduler:{here}:schedule/default/{Name}"),
}


@pytest.mark.parametrize("variant", list(variants.VARIANTS))
def test_the_deployer_may_create_each_resource_of_the_stack(variant: str) -> None:
    policies = Policies({"deployer": tuple(DEPLOYER["Statement"])})
    given = {**variants.VARIANTS[variant], "NameSuffix": f"-{STACK}", "BucketName": "example-data-lake-prod"}
    document = variants.concrete(template.annotated(), given)
    context = {"aws:CalledViaFirst": "cloudformation.amazonaws.com", "aws:RequestTag/stack": STACK}
    for name, resource in document["Resources"].items():
        action, arn = MADE[resource["Type"]]
        named = variants.with_names(resource["Properties"], document, {**variants.parameters(document, given)})
        texts = {key: value for key, value in named.items() if isinstance(value, str)}
        request = Request("deployer", action, arn.format(here=f"{REGION}:{ACCOUNT}", id=name, **texts), context)
        assert policies.allowing(request), request
