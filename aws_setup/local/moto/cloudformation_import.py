"""Import change sets, which moto 5.2.5 takes for new stacks whose resources it then tries to make.

Of the types that the project's template keeps, buckets and secrets. Drop it when moto has ResourcesToImport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Change, ChangeSet, Stack
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

from aws_setup.local.moto import cloudformation_update
from aws_setup.local.moto.cloudformation_types import Secret, clients

BUCKET = "AWS::S3::Bucket"

_Function = Callable[..., Any]


def diff(self: ChangeSet) -> list[Change]:
    """The changes that a change set shows; those of an import are Import."""
    changes = cloudformation_update.diff(self)
    if self.change_set_type == "IMPORT":
        for change in changes:
            change.action = "Import"
    return changes


def apply(self: ChangeSet) -> None:
    """Make the stack what the change set says; resources of an import are taken as they are."""
    resources = self.stack.resource_map
    resources.importing = self.change_set_type == "IMPORT"  # type: ignore[attr-defined]
    try:
        cloudformation_update.apply(self)
    finally:
        resources.importing = False  # type: ignore[attr-defined]


def importing(resources_map: Any) -> bool:
    """Whether resources are imported just now, and not made."""
    return bool(resources_map.__dict__.get("importing"))


def adopting(parse_and_create: _Function) -> _Function:
    """While an import is applied, a resource is looked up by its name instead of being made."""

    def create(logical_id: str, resource_json: Any, resources_map: Any, account_id: str, region_name: str) -> Any:
        if not importing(resources_map):
            return parse_and_create(logical_id, resource_json, resources_map, account_id, region_name)
        properties = cloudformation_update.resolved(resource_json, resources_map)
        kind = resource_json["Type"]
        if kind == BUCKET:
            return s3_backends[account_id][get_partition(region_name)].head_bucket(properties["BucketName"])
        if kind == Secret.type_name:
            return Secret.existing(properties, clients(region_name))
        raise ValidationError(message=f"Importing {kind} ({logical_id}) is not emulated")

    return create


def tag(stack: Stack, kind: str, physical_id: str) -> None:
    """Give the stack's tags to a bucket or secret that it made, as CloudFormation does; moto gives them to none."""
    tags = [{"Key": key, "Value": value} for key, value in stack.tags.items()]
    if not tags:
        return
    if kind == BUCKET:
        clients(stack.region_name)("s3").put_bucket_tagging(Bucket=physical_id, Tagging={"TagSet": tags})
    elif kind == Secret.type_name:
        clients(stack.region_name)("secretsmanager").tag_resource(SecretId=physical_id, Tags=tags)
