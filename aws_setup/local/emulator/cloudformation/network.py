"""CloudFormation's security groups. moto's own types ignore the rules for outgoing traffic.

They also refuse what EC2 refuses and moto accepts. Delete a type when moto's does all this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from moto.cloudformation.exceptions import ValidationError

from aws_setup.local.emulator.cloudformation.resource_types import Clients, LoopbackResource, Properties

_RANGES = {"CidrIp": ("IpRanges", "CidrIp"), "CidrIpv6": ("Ipv6Ranges", "CidrIpv6")}
_GROUPS = ("DestinationSecurityGroupId", "SourceSecurityGroupId")

# The documentation of IpRange.Description and CreateSecurityGroupRequest.Description in botocore's model of EC2.
_DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}")


def _check_description(kind: str, text: str) -> None:
    if not _DESCRIPTION.fullmatch(text):
        raise ValidationError(
            message=f"Invalid {kind} description {text!r}. Valid descriptions are strings less than 256 characters"
            " from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
        )


def _permission(rule: Properties) -> dict[str, Any]:
    """A rule of CloudFormation in the form of the API."""
    _check_description("rule", rule.get("Description", ""))
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
    """AWS::EC2::SecurityGroup in a VPC. With egress rules of its own it lacks the default rule for all traffic."""

    type_name = "AWS::EC2::SecurityGroup"
    name_property = "GroupName"
    attributes = frozenset({"GroupId", "VpcId"})

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Create the group and its rules."""
        client = clients("ec2")
        _check_description("group", properties["GroupDescription"])
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
        """Delete the group. Refused while a rule of another group refers to it, as on EC2."""
        client = clients("ec2")
        referring = [
            {"Name": f"{way}ip-permission.group-id", "Values": [self.physical_resource_id]} for way in ("", "egress.")
        ]
        groups = [
            one for each in referring for one in client.describe_security_groups(Filters=[each])["SecurityGroups"]
        ]
        if any(group["GroupId"] != self.physical_resource_id for group in groups):
            raise ValidationError(message=f"resource {self.physical_resource_id} has a dependent object")
        client.delete_security_group(GroupId=self.physical_resource_id)


class _RuleOfAnotherGroup(LoopbackResource):
    """A rule that is a resource of its own. `way` is the direction as EC2's operations name it."""

    way: ClassVar[str]

    def __init__(self, name: str, rule: dict[str, Any]) -> None:
        super().__init__(name)
        self._rule = rule

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Add the rule to its group."""
        rule = {"GroupId": properties["GroupId"], "IpPermissions": [_permission(properties)]}
        getattr(clients("ec2"), f"authorize_security_group_{cls.way}")(**rule)
        return cls(name, rule)

    def remove(self, clients: Clients) -> None:
        """Remove the rule from its group."""
        getattr(clients("ec2"), f"revoke_security_group_{self.way}")(**self._rule)


class SecurityGroupEgress(_RuleOfAnotherGroup):
    """AWS::EC2::SecurityGroupEgress."""

    type_name = "AWS::EC2::SecurityGroupEgress"
    way = "egress"


class SecurityGroupIngress(_RuleOfAnotherGroup):
    """AWS::EC2::SecurityGroupIngress."""

    type_name = "AWS::EC2::SecurityGroupIngress"
    way = "ingress"


TYPES: Mapping[str, type[LoopbackResource]] = {
    kind.type_name: kind for kind in (SecurityGroup, SecurityGroupEgress, SecurityGroupIngress)
}
