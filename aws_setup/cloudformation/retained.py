"""The bucket and the secrets that `destroy` retains, and how the next `deploy` of the stack imports them.

`deploy` creates a change set of type IMPORT that names each resource (ResourcesToImport) and whose template contains
only these, and then updates the stack to the whole template. A single change set with `ImportExistingResources` would
not work:

- It imports only resources whose name is a literal in the template, and ours contain !Ref and !Sub. It imports only
  types whose identifier is a property that the template sets, and a secret's ARN is not
  (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html).
- Import and creation would be one operation, and a failure would roll both back.

An import must not change outputs, nor the stack's tags and role: AWS answers "As part of the import operation, you
cannot modify or add [RoleArn, Tags]", although it documents this for outputs only. Each imported resource needs a
deletion policy. The import changes no resource. The update after it changes only their tags, because their definitions
are the same in both templates, so a secret keeps its value.

A resource is imported if it has the tags of the stack. Give these tags to any other resource to have it imported.
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
    """The tags of the stack's resources, as text for messages."""
    return ", ".join(f"{key}={value}" for key, value in stack_tags(stack).items())


def find(session: Session, stack: str, given: Mapping[str, str]) -> dict[str, Resource]:
    """The resources that an earlier stack of this name left behind and the parameters `given` use, by logical id."""
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
    """The parameters that follow from the retained resources: the user need not repeat the bucket's name."""
    return {"BucketName": found["Bucket"].value} if "Bucket" in found else {}


def import_template(found: Mapping[str, Resource]) -> str:
    """A template with the parameters, the conditions and only the resources to import.

    Its deletion policy retains them even if the import fails.
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
    """The bucket with the tags of the stack: the `wanted` one, else the only one."""
    try:
        found = _tagged(session, stack)
    except ClientError as error:
        if is_denied(error):
            return None  # preflight reports a bucket of that name
        raise
    living = [name for name in found if _lives(session, name)]  # GetResources still lists a deleted bucket for a while
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
