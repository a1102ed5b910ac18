"""CloudFormation's security groups, whose rules for outgoing traffic moto leaves out.

Drop a type when moto's own has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from aws_setup.local.moto.cloudformation_types import Clients, LoopbackResource, Properties

_RANGES = {"CidrIp": ("IpRanges", "CidrIp"), "CidrIpv6": ("Ipv6Ranges", "CidrIpv6")}
_GROUPS = ("DestinationSecurityGroupId", "SourceSecurityGroupId")


def _permission(rule: Properties) -> dict[str, Any]:
    """A rule of CloudFormation as the API writes it."""
    permission: dict[str, Any] = {"IpProtocol": rule["IpProtocol"]}
    permission |= {port: int(rule[port]) for port in ("FromPort", "ToPort") if port in rule}
    described = {"Description": rule["Description"]} if "Description" in rule else {}
    for name, (list_name, key) in _RANGES.items():
        if name in rule:
            permission[list_name] = [{key: rule[name], **described}]
    for name in _GROUPS:
        if name in rule:
            permission["UserIdGroupPairs"] = [{"GroupId": rule[name], **described}]
    return permission


class SecurityGroup(LoopbackResource):
    """AWS::EC2::SecurityGroup in a VPC, without the rule that lets all traffic out where it has rules of its own."""

    type_name = "AWS::EC2::SecurityGroup"
    name_property = "GroupName"
    attributes = frozenset({"GroupId", "VpcId"})

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Make the group and its rules."""
        client = clients("ec2")
        request = {"GroupName": name, "Description": properties["GroupDescription"], "VpcId": properties["VpcId"]}
        group = client.create_security_group(**request)["GroupId"]
        egress = properties.get("SecurityGroupEgress", [])
        if egress:
            made = client.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
            client.revoke_security_group_egress(GroupId=group, IpPermissions=made)
            client.authorize_security_group_egress(GroupId=group, IpPermissions=[_permission(rule) for rule in egress])
        ingress = properties.get("SecurityGroupIngress", [])
        if ingress:
            client.authorize_security_group_ingress(
                GroupId=group, IpPermissions=[_permission(rule) for rule in ingress]
            )
        return cls(group, GroupId=group, VpcId=properties["VpcId"])

    def remove(self, clients: Clients) -> None:
        """Delete the group."""
        clients("ec2").delete_security_group(GroupId=self.physical_resource_id)


class SecurityGroupEgress(LoopbackResource):
    """AWS::EC2::SecurityGroupEgress. It goes with its group."""

    type_name = "AWS::EC2::SecurityGroupEgress"

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Add the rule."""
        clients("ec2").authorize_security_group_egress(
            GroupId=properties["GroupId"], IpPermissions=[_permission(properties)]
        )
        return cls(name)


class SecurityGroupIngress(LoopbackResource):
    """AWS::EC2::SecurityGroupIngress. It goes with its group."""

    type_name = "AWS::EC2::SecurityGroupIngress"

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Add the rule."""
        clients("ec2").authorize_security_group_ingress(
            GroupId=properties["GroupId"], IpPermissions=[_permission(properties)]
        )
        return cls(name)


TYPES: Mapping[str, type[LoopbackResource]] = {
    kind.type_name: kind for kind in (SecurityGroup, SecurityGroupEgress, SecurityGroupIngress)
}
