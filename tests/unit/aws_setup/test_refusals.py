"""What a real account refuses or does unexpectedly, and the template avoids.

Each test names who says so: a page of docs.aws.amazon.com, botocore's model, or a public incident.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from aws_setup.cloudformation import template
from aws_setup.cloudformation.parameters import check, complete
from aws_setup.errors import UsageError
from tests.access.policies import Policies, Request, Statement
from tests.validators import variants
from tests.validators.variants import ACCOUNT, REGION

APPLICATION = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/00a"
OWN = {"aws:ResourceTag/stack": "example", "aws:ResourceTag/project": "data-lake-ingestion"}
ROLES = {"state machine": "StateMachineRole", "job": "JobRole", "host": "DagsterHostPolicy"}


def policies(variant: str) -> Policies:
    """The policies of the roles in this variant of the template."""
    found = variants.policies(variants.variant(variant), variants.VARIANTS[variant])
    documents = {principal: found[f"{name}.0"] for principal, name in ROLES.items()}
    return Policies({principal: tuple(document["Statement"]) for principal, document in documents.items()})


@pytest.mark.parametrize("resource", ["network-interface/*", "subnet/subnet-0a1b2c3d", "security-group/sg-0a1b"])
def test_the_state_machine_may_create_and_start_an_application_in_subnets(resource: str) -> None:
    """emr/latest/EMR-Serverless-UserGuide/security-iam-user-access-policies.html."""
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:{resource}"
    called = {"aws:CalledViaLast": "ops.emr-serverless.amazonaws.com"}
    asked = Request("state machine", "ec2:CreateNetworkInterface", arn, called)
    assert policies("everything").allowing(asked) == ("state machine", "JoinNetwork")
    assert policies("everything").allowing(Request(asked.principal, asked.action, arn)) is None
    assert policies("defaults").allowing(asked) is None


def topic_statements(variant: str) -> Iterator[Statement]:
    for name, resource in variants.variant(variant)["Resources"].items():
        if resource["Type"] == "AWS::SNS::TopicPolicy":
            yield from resource["Properties"]["PolicyDocument"]["Statement"]
            assert resource["Properties"]["Topics"], name


def test_a_topic_policy_for_eventbridge_has_no_condition() -> None:
    """eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions: "You can't use Condition blocks"."""
    found = [one for one in topic_statements("defaults") if one["Principal"] == {"Service": "events.amazonaws.com"}]
    assert [one["Sid"] for one in found] == ["LostExecutions"]
    assert not any("Condition" in one for one in found)


def test_the_key_of_topics_for_eventbridge_has_no_condition_on_the_source() -> None:
    """sns/latest/dg/sns-key-management.html; github.com/awslabs/landing-zone-accelerator-on-aws/issues/407."""
    key = template.template()["Resources"]["NotificationKey"]["Properties"]["KeyPolicy"]
    (publishers,) = [one for one in key["Statement"] if one["Sid"] == "Publishers"]
    assert "Condition" not in publishers


def spark_properties() -> dict[str, str]:
    states = template.template()["Resources"]["StateMachine"]["Properties"]["Definition"]["States"]
    driver = states["EMR Serverless StartJobRun"]["Parameters"]["JobDriver"]["SparkSubmit"]
    found = re.findall(r"--conf (spark\.[\w.]+)=(\S+)", driver["SparkSubmitParameters"])
    return dict(found)


def test_a_job_may_have_fewer_executors_than_the_three_that_emr_begins_with() -> None:
    """github.com/aws-samples/aws-emr-utilities/pull/175: "initialExecutors: 3 must be between …"."""
    conf = spark_properties()
    assert template.parameters()["MaximumExecutors"]["MinValue"] < 3
    for name in ("dynamicAllocation.initialExecutors", "executor.instances", "dynamicAllocation.maxExecutors"):
        assert conf[f"spark.{name}"] == "${MaximumExecutors}", name


def described(node: Any) -> Iterator[str]:
    """The descriptions of EC2 resources; for a function every text that it may return."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("Description", "GroupDescription"):
                yield value["Fn::Sub"] if isinstance(value, dict) else value
            yield from described(value)
    if isinstance(node, list):
        for value in node:
            yield from described(value)


def test_descriptions_of_security_groups_and_rules_have_only_characters_that_ec2_accepts() -> None:
    """botocore's model of EC2 has the constraints in the documentation of each description."""
    model = botocore.session.get_session().get_service_model("ec2")
    shapes = ("IpRange", "UserIdGroupPair", "CreateSecurityGroupRequest")
    taken = [model.shape_for(name).members["Description"].documentation for name in shapes]  # type: ignore[attr-defined]
    allowed = set.intersection(*({*re.split("spaces, and ", text)[1].removesuffix("</p>")} for text in taken))
    found = [
        text.replace("${AWS::StackName}", "a-Stack-1")
        for resource in template.template()["Resources"].values()
        if resource["Type"].startswith("AWS::EC2::")
        for text in described(resource["Properties"])
    ]
    assert len(found) >= 7
    for text in found:
        assert len(text) <= 255 - 128  # the longest name of a stack
        assert not {letter for letter in text if not letter.isalnum() or not letter.isascii()} - allowed - {" "}, text


def test_the_stack_owns_the_rule_by_which_the_database_admits_the_job() -> None:
    """A group that a rule refers to is not deleted: github.com/gruntwork-io/cloud-nuke/issues/726."""
    rule = variants.variant("everything")["Resources"]["DatabaseAdmitsJob"]["Properties"]
    assert rule["GroupId"] == {"Ref": "DatabaseSecurityGroupId"}
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["JobSecurityGroup", "GroupId"]}
    assert rule["FromPort"] == rule["ToPort"] == {"Ref": "DatabasePort"}
    given = {**variants.VARIANTS["everything"], "SecurityGroupIds": "sg-0f"}
    assert "DatabaseAdmitsJob" not in variants.concrete(template.annotated(), given)["Resources"]


@pytest.mark.parametrize("principal", ["host", "state machine"])
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("StopApplication", APPLICATION),
        ("DeleteApplication", APPLICATION),
        ("CancelJobRun", f"{APPLICATION}/jobruns/00b"),
    ],
)
def test_only_what_has_the_tags_of_the_stack_can_be_ended(principal: str, action: str, resource: str) -> None:
    """emr/latest/EMR-Serverless-UserGuide/security-iam-TBAC.html."""
    held = policies("defaults")

    def ending(context: dict[str, str]) -> Request:
        return Request(principal, f"emr-serverless:{action}", resource, context)

    assert held.allowing(ending(OWN)) == (principal, "EndOwn")
    for foreign in ({}, {**OWN, "aws:ResourceTag/stack": "other"}, {**OWN, "aws:ResourceTag/project": "other"}):
        assert held.allowing(ending(foreign)) is None


def test_what_the_state_machine_creates_has_the_tags_that_its_policy_requires_to_end_it() -> None:
    states = template.template()["Resources"]["StateMachine"]["Properties"]["Definition"]["States"]
    for state in ("EMR Serverless CreateApplication", "EMR Serverless StartJobRun"):
        tags = states[state]["Parameters"]["Tags"]
        assert tags == {"project": "data-lake-ingestion", "stack": "${StackName}"}
        assert {f"aws:ResourceTag/{key}" for key in tags} == OWN.keys()


@pytest.mark.parametrize(
    ("label", "taken"),
    [
        ("emr-7.10.0", True),
        ("emr-7.14.0", True),
        ("emr-8.0.0", True),
        ("emr-spark-8.0.0", True),
        ("emr-7.9.0", False),
        ("emr-7.1.0", False),
        ("emr-6.15.0", False),
        ("emr-6.10.0", False),
    ],
)
def test_a_release_without_s3a_is_refused_naming_one_to_use(label: str, *, taken: bool) -> None:
    """emr/latest/ReleaseGuide/emr-7100-release.html: S3A is the S3 connector from emr-7.10.0 on."""
    if taken:
        check({"ReleaseLabel": label})
        return
    with pytest.raises(
        UsageError, match=r"cannot be '.*': it accepts emr-7\.10\.0 or a later release, such as emr-7\.14"
    ):
        check({"ReleaseLabel": label})


@pytest.mark.parametrize(
    "name",
    ["xn--lake", "sthree-lake", "amzn-s3-demo-lake", "lake-s3alias", "lake--ol-s3", "lake--x-s3", "lake--table-s3"],
)
def test_a_bucket_name_that_s3_reserves_is_refused(name: str) -> None:
    """AmazonS3/latest/userguide/bucketnamingrules.html."""
    with pytest.raises(UsageError, match="BucketName cannot be"):
        check({"BucketName": name})
    check({"BucketName": name.replace("--", "-").replace("sthree", "three").replace("demo", "").replace("alias", "")})


def test_a_secret_is_given_by_its_whole_arn() -> None:
    """A policy with a partial ARN matches no secret: secretsmanager/latest/userguide/troubleshoot.html."""
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop"
    check({"DatabaseSecretArn": f"{arn}-a1B2c3"})
    with pytest.raises(UsageError, match="it accepts the whole ARN of a secret, with the hyphen and six characters"):
        check({"DatabaseSecretArn": arn})


def test_a_time_zone_is_no_longer_than_the_scheduler_accepts() -> None:
    """scheduler/latest/APIReference/API_CreateSchedule.html."""
    with pytest.raises(UsageError, match=r"ScheduleTimezone cannot be .* 1 to 50 characters"):
        check({"ScheduleTimezone": "Europe/" + "x" * 50})


@pytest.mark.parametrize("stack", ["s" * 38, "data_lake"])
def test_a_stack_whose_name_does_not_fit_the_names_of_its_resources_is_refused(stack: str) -> None:
    """scheduler/latest/APIReference/API_CreateSchedule.html: Name has 64 characters at most."""
    with pytest.raises(UsageError, match=f"INGEST_STACK cannot be '{stack}'"):
        complete({"BucketName": "lake"}, None, stack=stack, script_prefix="script/0", driver_key="jar/0/x.jar")


def test_the_job_may_read_a_secret_under_a_key_of_its_own_and_use_the_key_for_nothing_else() -> None:
    """secretsmanager/latest/userguide/security-encryption.html."""
    key = variants.VARIANTS["everything"]["DatabaseSecretKmsKeyArn"]
    via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    held = policies("everything")
    assert held.allowing(Request("job", "kms:Decrypt", key, via)) == ("job", "ReadSecretOfOtherKey")
    assert held.allowing(Request("job", "kms:Decrypt", key, {"kms:ViaService": f"s3.{REGION}.amazonaws.com"})) is None
    assert held.allowing(Request("job", "kms:GenerateDataKey", key, via)) is None


def test_staged_files_leave_no_old_versions_for_longer_than_a_day() -> None:
    """AmazonS3/latest/userguide/lifecycle-configuration-examples.html: only a rule expires noncurrent versions."""
    bucket = template.template()["Resources"]["Bucket"]["Properties"]
    assert bucket["VersioningConfiguration"]["Status"] == "Enabled"
    rules = [one for one in bucket["LifecycleConfiguration"]["Rules"] if one.get("Prefix") == "raw-layer/_staging/"]
    assert [(one["ExpirationInDays"], one["NoncurrentVersionExpiration"]) for one in rules] == [
        (1, {"NoncurrentDays": 1})
    ]
