"""The bucket and the secrets that `destroy` keeps, and how the next `deploy` of the stack takes them over again.

By an import change set that names each resource (ResourcesToImport), with a template of these alone, and then an
update to the whole template. `ImportExistingResources` would need one change set only, and does not do here:

- it takes resources whose name is written out in the template, where ours are made with !Ref and !Sub, and types
  whose identifier is a property that the template sets, which a secret's ARN is not
  (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html);
- import and creation would be one operation, whose failure rolls both back.

An import may touch neither outputs nor the stack's tags and role: AWS answers "As part of the import operation, you
cannot modify or add [RoleArn, Tags]", and documents it for outputs only. It needs a deletion policy on each resource.
It changes nothing of them, and the update that follows changes their tags only, since their definitions are the same
in both templates: so a secret's value stays.

A resource is taken over when it has the stack's own tags; to take over another one, give it these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from aws_setup.cloudformation import template
from aws_setup.cloudformation.parameters import name_suffix
from ingest_assets.aws.errors import error_code, is_denied
from ingest_assets.aws.stack import stack_tags

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_cloudformation.type_defs import ResourceToImportTypeDef

_SECRETS = {"DatabaseSecret": "POSTGRESQL", "AwsKeysSecret": "AWSKEYS"}


@dataclass(frozen=True)
class Resource:
    """A resource to import: CloudFormation's type, the property that identifies it, and that property's value."""

    type: str
    key: str
    value: str


def marks(stack: str) -> str:
    """The tags by which a resource is known as the stack's, for people."""
    return ", ".join(f"{key}={value}" for key, value in stack_tags(stack).items())


def find(session: Session, stack: str, given: Mapping[str, str]) -> dict[str, Resource]:
    """What an earlier stack of this name left, by logical id, as far as one with the parameters `given` has it."""
    found = {}
    bucket = _bucket(session, stack, given.get("BucketName"))
    if bucket is not None:
        found["Bucket"] = Resource("AWS::S3::Bucket", "BucketName", bucket)
    wanted = {
        "DatabaseSecret": not given.get("DatabaseSecretArn"),
        "AwsKeysSecret": given.get("CreateAwsKeysSecret") == "true",
    }
    for logical_id, name in _SECRETS.items():
        arn = _secret(session, stack, f"{name}{name_suffix(stack)}") if wanted[logical_id] else None
        if arn is not None:
            found[logical_id] = Resource("AWS::SecretsManager::Secret", "Id", arn)
    return found


def names(found: Mapping[str, Resource]) -> dict[str, str]:
    """The parameters that follow from what was found: nobody needs to repeat the bucket's name."""
    return {"BucketName": found["Bucket"].value} if "Bucket" in found else {}


def import_template(found: Mapping[str, Resource]) -> str:
    """The template's parameters and conditions with the resources to import, and nothing else.

    They are retained whatever happens to the import.
    """
    whole = template.template()
    resources = {name: {**whole["Resources"][name], "DeletionPolicy": "Retain"} for name in found}
    parts = {key: whole[key] for key in ("AWSTemplateFormatVersion", "Parameters", "Conditions")}
    return json.dumps({**parts, "Resources": resources}, separators=(",", ":"))


def to_import(found: Mapping[str, Resource]) -> list[ResourceToImportTypeDef]:
    """The resources as CreateChangeSet takes them."""
    return [
        {"ResourceType": one.type, "LogicalResourceId": name, "ResourceIdentifier": {one.key: one.value}}
        for name, one in found.items()
    ]


def _bucket(session: Session, stack: str, wanted: str | None) -> str | None:
    """The bucket with the stack's tags: the one wanted, or the only one there is."""
    try:
        found = _tagged(session, stack)
    except ClientError as error:
        if is_denied(error):
            return None  # preflight's check of the bucket says when one is in the way
        raise
    living = [name for name in found if _lives(session, name)]  # the listing lags behind a deletion
    if wanted is not None:
        return wanted if wanted in living else None
    return living[0] if len(living) == 1 else None


def _tagged(session: Session, stack: str) -> list[str]:
    pages = session.client("resourcegroupstaggingapi").get_paginator("get_resources")
    filters = [{"Key": key, "Values": [value]} for key, value in stack_tags(stack).items()]
    return [
        entry["ResourceARN"].rpartition(":")[2]
        for page in pages.paginate(TagFilters=filters, ResourceTypeFilters=["s3"])
        for entry in page["ResourceTagMappingList"]
    ]


def _lives(session: Session, bucket: str) -> bool:
    try:
        session.client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) == "404":
            return False
        raise
    return True


def _secret(session: Session, stack: str, name: str) -> str | None:
    try:
        answer = session.client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise
    marked = {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}
    if "DeletedDate" in answer or not stack_tags(stack).items() <= marked.items():
        return None
    return answer["ARN"]
