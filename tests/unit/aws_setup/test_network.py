"""Against moto's EC2, in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from aws_setup.checks.findings import Finding
from aws_setup.checks.network import check, rules_referring_to

REGION = "us-east-1"


class Network:
    """A VPC with two private subnets in two zones."""

    def __init__(self, session: boto3.session.Session) -> None:
        self.session = session
        self.client: Any = self.session.client("ec2")
        self.vpc = self.client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [self.subnet(zone, number) for number, zone in enumerate("ab")]
        tables = self.client.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["RouteTables"]
        self.routes = tables[0]["RouteTableId"]

    def subnet(self, zone: str, number: int) -> str:
        made = self.client.create_subnet(
            VpcId=self.vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}"
        )
        subnet_id: str = made["Subnet"]["SubnetId"]
        return subnet_id

    def group(self, vpc: str | None = None, open_to: str = "") -> str:
        group_id: str = self.client.create_security_group(
            GroupName=f"group-{vpc}-{open_to}", Description="-", VpcId=vpc or self.vpc
        )["GroupId"]
        if open_to:
            self.client.authorize_security_group_ingress(
                GroupId=group_id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=open_to
            )
        return group_id

    def route(self, **target: str) -> None:
        self.client.create_route(RouteTableId=self.routes, DestinationCidrBlock="0.0.0.0/0", **target)

    def endpoints(self) -> None:
        self.client.create_vpc_endpoint(
            VpcId=self.vpc,
            ServiceName=f"com.amazonaws.{REGION}.s3",
            VpcEndpointType="Gateway",
            RouteTableIds=[self.routes],
        )
        self.client.create_vpc_endpoint(
            VpcId=self.vpc,
            ServiceName=f"com.amazonaws.{REGION}.secretsmanager",
            VpcEndpointType="Interface",
            SubnetIds=self.subnets,
        )

    def findings(self, **parameters: str) -> list[Finding]:
        return list(check(self.session, {"SubnetIds": ",".join(self.subnets), "VpcId": self.vpc, **parameters}))


@pytest.fixture(scope="module")
def session() -> boto3.session.Session:
    """One for all tests: it has read EC2's model."""
    return boto3.session.Session("key", "secret", region_name=REGION)


@pytest.fixture
def network(session: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # thousands of images that no test asks for
    with mock_aws():
        yield Network(session)


def test_private_subnets_with_the_endpoints_that_the_job_needs_are_fine(network: Network) -> None:
    network.endpoints()
    assert network.findings(SecurityGroupIds=network.group()) == []


def test_private_subnets_behind_a_nat_gateway_are_fine(network: Network) -> None:
    gateway = network.client.create_nat_gateway(SubnetId=network.subnets[0])["NatGateway"]["NatGatewayId"]
    network.route(NatGatewayId=gateway)
    assert network.findings() == []


def test_a_subnet_without_a_route_to_aws_is_named_with_the_missing_endpoints(network: Network) -> None:
    found = network.findings(GlueDatabase="lake")
    assert [finding.level for finding in found] == ["warning"] * 2
    assert found[0].text == (
        f"{network.subnets[0]} has no route to a NAT gateway and no endpoint for secretsmanager, glue, s3: add one"
    )


def test_a_public_subnet_is_named(network: Network) -> None:
    gateway = network.client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    network.client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc)
    network.route(GatewayId=gateway)
    assert [finding.text for finding in network.findings()] == [
        f"{subnet} is a public subnet, where workers have no public address: give a private one"
        for subnet in network.subnets
    ]


def test_a_security_group_that_admits_traffic_from_everywhere_is_an_error(network: Network) -> None:
    network.endpoints()
    group = network.group(open_to="0.0.0.0/0")
    assert network.group(open_to="10.0.0.0/8") != group
    (found,) = network.findings(SecurityGroupIds=group)
    assert (found.level, found.text.split(",")[0]) == (
        "error",
        f"the security group {group} admits traffic from everywhere",
    )


def test_the_rules_of_other_groups_that_refer_to_one_are_found_in_both_directions(network: Network) -> None:
    job, database = network.group(), network.group(open_to="10.0.0.0/8")
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": job}]}
    network.client.authorize_security_group_ingress(GroupId=database, IpPermissions=[rule])
    network.client.authorize_security_group_ingress(GroupId=job, IpPermissions=[rule])  # its own is no obstacle
    everything = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": job}]}
    network.client.authorize_security_group_egress(GroupId=database, IpPermissions=[everything])
    assert [rule.to_text().replace(database, "sg") for rule in rules_referring_to(network.session, job)] == [
        "the inbound rule for port 5432 of sg (group-None-10.0.0.0/8)",
        "the outbound rule for all traffic of sg (group-None-10.0.0.0/8)",
    ]


def test_one_availability_zone_is_a_warning(network: Network) -> None:
    network.endpoints()
    (found,) = network.findings(SubnetIds=network.subnets[0])
    assert (found.level, "one availability zone" in found.text) == ("warning", True)


def test_everything_must_be_in_one_vpc(network: Network) -> None:
    network.endpoints()
    other = network.client.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    (found,) = network.findings(SecurityGroupIds=network.group(other))
    assert (found.level, "belong to different VPCs" in found.text) == ("error", True)


@pytest.mark.parametrize(
    ("parameters", "level", "text"),
    [
        ({"SubnetIds": "subnet-0"}, "error", "subnet-0.* check SubnetIds, SecurityGroupIds and region"),
        ({"SecurityGroupIds": "sg-0"}, "error", "sg-0.* check SubnetIds, SecurityGroupIds and region"),
        ({"SubnetIds": ",".join("subnet-0" for _ in range(17))}, "error", "accepts at most 16 SubnetIds"),
        ({"SecurityGroupIds": ",".join("sg-0" for _ in range(6))}, "error", "accepts at most 5 SecurityGroupIds"),
        ({"VpcId": ""}, "error", "SubnetIds need a security group: give VpcId"),
        ({"SubnetIds": ""}, "error", "have no effect without SubnetIds"),
        ({"SubnetIds": "", "VpcId": ""}, "warning", "the job reaches only AWS services and no database"),
    ],
)
def test_a_missing_parameter_is_named(network: Network, parameters: dict[str, str], level: str, text: str) -> None:
    (found,) = network.findings(**parameters)
    assert found.level == level
    assert re.search(text, found.text), found.text
