"""Whether the job's subnets and security groups let it run, reach the database, and reach AWS, and can go again."""

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
# What the job calls beside S3; the catalog's comes with the parameter GlueDatabase.
_SERVICE = "secretsmanager"


def check(session: Session, parameters: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the network that the parameters name; without subnets EMR Serverless has its own."""
    subnet_ids, group_ids = _listed(parameters, "SubnetIds"), _listed(parameters, "SecurityGroupIds")
    for name, most in _MOST.items():
        if len(_listed(parameters, name)) > most:
            yield error(_CHECK, f"EMR Serverless takes {most} {name} at most: give fewer")
            return
    if not subnet_ids:
        yield from _without_subnets(parameters, group_ids)
        return
    if not group_ids and not parameters.get("VpcId"):
        yield error(_CHECK, "SubnetIds need a security group: give VpcId, in which one is made, or SecurityGroupIds")
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
    """A rule of a security group that refers to another group. `ports` is empty for all traffic."""

    group_id: str
    group_name: str
    way: Literal["inbound", "outbound"]
    ports: tuple[int, ...]

    def to_text(self) -> str:
        """For people."""
        ports = "-".join(str(port) for port in dict.fromkeys(self.ports))
        what = f"for port {ports}" if ports else "for all traffic"
        return f"the {self.way} rule {what} of {self.group_id} ({self.group_name})"


def rules_referring_to(session: Session, group_id: str) -> list[Rule]:
    """The rules of other security groups that name this one, which EC2 does not delete while there is any."""
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
        yield error(_CHECK, "VpcId and SecurityGroupIds are of no use without SubnetIds: give the subnets too")
    else:
        yield warning(
            _CHECK,
            "without SubnetIds the job reaches AWS services only, and no database: give private subnets and VpcId",
        )


def _places(subnets: list[Any], groups: list[Any], vpc_id: str) -> Iterator[Finding]:
    vpcs = {one["VpcId"] for one in (*subnets, *groups)} | ({vpc_id} if vpc_id else set())
    if len(vpcs) > 1:
        yield error(_CHECK, f"subnets, security groups and VpcId are in different VPCs ({', '.join(sorted(vpcs))})")
    if len({subnet["AvailabilityZoneId"] for subnet in subnets}) < 2:
        yield warning(
            _CHECK, "all subnets are in one availability zone, and no job starts while it has trouble: add another"
        )


def _open_groups(groups: list[Any]) -> Iterator[Finding]:
    for group in groups:
        rules = group["IpPermissions"]
        ranges = {one["CidrIp"] for rule in rules for one in rule.get("IpRanges", [])}
        ranges |= {one["CidrIpv6"] for rule in rules for one in rule.get("Ipv6Ranges", [])}
        if ranges & _WORLD:
            yield error(
                _CHECK,
                f"the security group {group['GroupId']} admits the whole world, which EMR Serverless refuses: take that"
                " rule away, or leave SecurityGroupIds to the template",
            )


def _ways_out(client: Any, subnets: list[Any], catalog: bool) -> Iterator[Finding]:
    """A way to AWS for each subnet: a NAT or another gateway, or endpoints for the services that the job calls."""
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
                f"{subnet['SubnetId']} is a public subnet, where workers have no public address: take a private one",
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
    """The subnet's own route table, else the VPC's main one."""
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
