"""Security groups of a stack, with what EC2 refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.local_aws.conftest import Aws, Stack, get_att, output


def test_a_security_group_has_the_rules_of_the_template_and_no_other(aws: Aws, stack: Stack) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    egress = [
        {"IpProtocol": "tcp", "FromPort": "443", "ToPort": 443, "CidrIp": "10.0.0.0/8", "Description": "AWS"},
        {"Ref": "AWS::NoValue"},
    ]
    group = {"GroupDescription": "workers", "VpcId": vpc, "SecurityGroupEgress": egress}
    own = {"GroupId": get_att("Group", "GroupId"), "IpProtocol": "tcp", "FromPort": 1024, "ToPort": 65535}
    made = stack.create(
        {
            "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": group},
            "Out": {
                "Type": "AWS::EC2::SecurityGroupEgress",
                "Properties": {**own, "DestinationSecurityGroupId": get_att("Group", "GroupId")},
            },
            "In": {
                "Type": "AWS::EC2::SecurityGroupIngress",
                "Properties": {**own, "SourceSecurityGroupId": get_att("Group", "GroupId")},
            },
        },
        **output(Group=get_att("Group", "GroupId")),
    )

    (found,) = ec2.describe_security_groups(GroupIds=[made["Group"]])["SecurityGroups"]
    out = {(rule["FromPort"], rule["ToPort"]): rule for rule in found["IpPermissionsEgress"]}
    assert out.keys() == {(443, 443), (1024, 65535)}
    assert out[443, 443]["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "AWS"}]
    assert out[1024, 65535]["UserIdGroupPairs"][0]["GroupId"] == made["Group"]
    (into,) = found["IpPermissions"]
    assert (into["FromPort"], into["IpRanges"]) == (1024, [])
    assert into["UserIdGroupPairs"][0]["GroupId"] == made["Group"]


@pytest.mark.parametrize(
    ("group", "rule"), [("The job's", "AWS"), ("The job", "Spark's workers"), ("The job", "x" * 256)]
)
def test_a_security_group_whose_description_ec2_does_not_take_is_refused(
    aws: Aws, stack: Stack, group: str, rule: str
) -> None:
    """botocore's model of EC2, IpRange.Description and CreateSecurityGroupRequest.Description."""
    vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    egress = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.0.0.0/8", "Description": rule}]
    properties = {"GroupDescription": group, "VpcId": vpc, "SecurityGroupEgress": egress}

    stack.apply("CREATE", {"Resources": {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}}})

    assert "Valid descriptions are strings less than 256 characters" in stack.failures()["Group"]


def admitted(aws: Aws, stack: Stack) -> tuple[str, dict[str, Any]]:
    """A database's group, made by hand, and a job's group in a stack whose rule it has."""
    ec2 = aws.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    database = ec2.create_security_group(GroupName=f"{stack.name}-db", Description="db", VpcId=vpc)["GroupId"]
    rule = {"GroupId": database, "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    properties = {"GroupDescription": "workers", "VpcId": vpc}
    made = stack.create(
        {
            "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties},
            "In": {
                "Type": "AWS::EC2::SecurityGroupIngress",
                "Properties": {**rule, "SourceSecurityGroupId": get_att("Group", "GroupId")},
            },
        },
        **output(Group=get_att("Group", "GroupId")),
    )
    port = {"IpProtocol": "tcp", "FromPort": 5433, "ToPort": 5433, "UserIdGroupPairs": [{"GroupId": made["Group"]}]}
    return database, port


def test_a_rule_in_another_group_goes_with_its_stack(aws: Aws, stack: Stack) -> None:
    database, _ = admitted(aws, stack)
    stack.client.delete_stack(StackName=stack.name)
    (group,) = aws.client("ec2").describe_security_groups(GroupIds=[database])["SecurityGroups"]
    assert group["IpPermissions"] == []


def test_a_group_that_a_foreign_rule_refers_to_leaves_its_stack_delete_failed(aws: Aws, stack: Stack) -> None:
    """DependencyViolation, as EC2 answers: github.com/gruntwork-io/cloud-nuke/issues/726."""
    database, foreign = admitted(aws, stack)
    ec2 = aws.client("ec2")
    ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[foreign])
    stack.client.delete_stack(StackName=stack.name)
    assert stack.describe()["StackStatus"] == "DELETE_FAILED"
    assert re.fullmatch(r"resource sg-\w+ has a dependent object", stack.failures()["Group"])

    ec2.revoke_security_group_ingress(GroupId=database, IpPermissions=[foreign])
    stack.client.delete_stack(StackName=stack.name)
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()
