"""Whether the job can run in its subnets and security groups and reach AWS, and whether EC2 can delete its group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from aws_setup.checks.findings import Finding, error, warning
from ingest_assets.aws.errors import error_code

if TYPE_CHECKING:
    from boto3.session import Session

_CHECK = "network"
_WORLD = {"0.0.0.0/0", "::/0"}
_MISSING = ("InvalidSubnetID", "InvalidGroup", "InvalidGroupId", "InvalidSecurityGroupID")
_WAYS: tuple[tuple[Literal["inbound", "outbound"], str, str], ...] = (
    ("inbound", "", "IpPermissions"),
    ("outbound", "egress.", "IpPermissionsEgress"),
)
# botocore's model of EMR Serverless, NetworkConfiguration.
_MOST = {"SubnetIds": 16, "SecurityGroupIds": 5}
# The service that every job calls besides S3. With the parameter GlueDatabase it also calls Glue.
_SERVICE = "secretsmanager"


def check(session: Session, parameters: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the network in the parameters. Without subnets EMR Serverless uses a network of its own."""
    subnet_ids, group_ids = _listed(parameters, "SubnetIds"), _listed(parameters, "SecurityGroupIds")
    for name, most in _MOST.items():
        if len(_listed(parameters, name)) > most:
            yield error(_CHECK, f"EMR Serverless accepts at most {most} {name}: give fewer")
            return
    if not subnet_ids:
        yield from _without_subnets(parameters, group_ids)
        return
    if not group_ids and not parameters.get("VpcId"):
        yield error(
            _CHECK, "SubnetIds need a security group: give VpcId, and the stack creates one, or give SecurityGroupIds"
        )
        return
    client: Any = session.client("ec2")  # no stubs are installed for EC2
    try:
        subnets = client.describe_subnets(SubnetIds=subnet_ids)["Subnets"]
        groups = client.describe_security_groups(GroupIds=group_ids)["SecurityGroups"] if group_ids else []
    except ClientError as refused:
        if not error_code(refused).startswith(_MISSING):
            raise
        yield error(
            _CHECK, f"{refused.response['Error'].get('Message', '')}: check SubnetIds, SecurityGroupIds and region"
        )
        return
    yield from _places(subnets, groups, parameters.get("VpcId", ""))
    yield from _open_groups(groups)
    yield from _ways_out(client, subnets, bool(parameters.get("GlueDatabase")))


@dataclass(frozen=True)
class Rule:
    """A rule of a security group that refers to another group. Empty `ports` stand for all traffic."""

    group_id: str
    group_name: str
    way: Literal["inbound", "outbound"]
    ports: tuple[int, ...]

    def to_text(self) -> str:
        """The rule in words."""
        ports = "-".join(str(port) for port in dict.fromkeys(self.ports))
        what = f"for port {ports}" if ports else "for all traffic"
        return f"the {self.way} rule {what} of {self.group_id} ({self.group_name})"


def rules_referring_to(session: Session, group_id: str) -> list[Rule]:
    """The rules of other security groups that refer to this one. EC2 does not delete the group while there are any."""
    client: Any = session.client("ec2")  # no stubs are installed for EC2
    found: list[Rule] = []
    for way, prefix, key in _WAYS:
        filters = [{"Name": f"{prefix}ip-permission.group-id", "Values": [group_id]}]
        for page in client.get_paginator("describe_security_groups").paginate(Filters=filters):
            found += [
                Rule(group["GroupId"], group["GroupName"], way, _ports(rule))
                for group in page["SecurityGroups"]
                if group["GroupId"] != group_id
                for rule in group[key]
                if any(pair.get("GroupId") == group_id for pair in rule.get("UserIdGroupPairs", []))
            ]
    return found


def _ports(rule: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(rule[name] for name in ("FromPort", "ToPort") if name in rule)


def _without_subnets(parameters: Mapping[str, str], group_ids: list[str]) -> Iterator[Finding]:
    if group_ids or parameters.get("VpcId"):
        yield error(_CHECK, "VpcId and SecurityGroupIds have no effect without SubnetIds: give the subnets too")
    else:
        yield warning(
            _CHECK,
            "without SubnetIds the job reaches only AWS services and no database: give private subnets and VpcId",
        )


def _places(subnets: list[Any], groups: list[Any], vpc_id: str) -> Iterator[Finding]:
    vpcs = {one["VpcId"] for one in (*subnets, *groups)} | ({vpc_id} if vpc_id else set())
    if len(vpcs) > 1:
        yield error(
            _CHECK,
            f"subnets, security groups and VpcId belong to different VPCs: {', '.join(sorted(vpcs))}",
        )
    if len({subnet["AvailabilityZoneId"] for subnet in subnets}) < 2:
        yield warning(
            _CHECK,
            "all subnets are in one availability zone, and no job starts while it is down: add a subnet in another",
        )


def _open_groups(groups: list[Any]) -> Iterator[Finding]:
    for group in groups:
        rules = group["IpPermissions"]
        ranges = {one["CidrIp"] for rule in rules for one in rule.get("IpRanges", [])}
        ranges |= {one["CidrIpv6"] for rule in rules for one in rule.get("Ipv6Ranges", [])}
        if ranges & _WORLD:
            yield error(
                _CHECK,
                f"the security group {group['GroupId']} admits traffic from everywhere, which EMR Serverless refuses:"
                " remove that rule, or leave out SecurityGroupIds, and the stack creates a group",
            )


def _ways_out(client: Any, subnets: list[Any], catalog: bool) -> Iterator[Finding]:
    """Whether each subnet reaches AWS: through a NAT gateway, or endpoints for the services that the job calls."""
    vpc = {"Name": "vpc-id", "Values": [subnets[0]["VpcId"]]}
    tables = client.describe_route_tables(Filters=[vpc])["RouteTables"]
    endpoints = client.describe_vpc_endpoints(Filters=[vpc])["VpcEndpoints"]
    interfaces = {one["ServiceName"].rpartition(".")[2] for one in endpoints if one["VpcEndpointType"] == "Interface"}
    needed = [_SERVICE, *(["glue"] if catalog else [])]
    for subnet in subnets:
        table = _route_table(tables, subnet["SubnetId"])
        ways = [route for route in table.get("Routes", []) if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        if any(route.get("GatewayId", "").startswith("igw-") for route in ways):
            yield warning(
                _CHECK,
                f"{subnet['SubnetId']} is a public subnet, where workers have no public address: give a private one",
            )
        elif not ways:
            missing = [name for name in needed if name not in interfaces]
            missing += [] if _reaches_s3(endpoints, table) else ["s3"]
            if missing:
                yield warning(
                    _CHECK,
                    f"{subnet['SubnetId']} has no route to a NAT gateway and no endpoint for {', '.join(missing)}:"
                    " add one",
                )


def _route_table(tables: list[Any], subnet_id: str) -> Any:
    """The route table of the subnet, or else the main one of the VPC."""
    main: Any = {}
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet_id:
                return table
            if association.get("Main"):
                main = table
    return main


def _reaches_s3(endpoints: list[Any], table: Any) -> bool:
    return any(
        one["ServiceName"].endswith(".s3")
        and (one["VpcEndpointType"] == "Interface" or table.get("RouteTableId") in one.get("RouteTableIds", []))
        for one in endpoints
    )


def _listed(parameters: Mapping[str, str], name: str) -> list[str]:
    return [one.strip() for one in parameters.get(name, "").split(",") if one.strip()]
