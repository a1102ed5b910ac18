"""Change sets: what a deployment would change in the stack."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aws_setup.errors import DeployError
from ingest_assets.aws.stack import stack_tags
from ingest_assets.aws.waiting import polls

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import (
        ChangeTypeDef,
        CreateChangeSetInputTypeDef,
        ParameterTypeDef,
        ResourceToImportTypeDef,
        TagTypeDef,
    )

# CloudFormation reports "no change" as a failure with one of these reasons.
_NO_CHANGE = ("The submitted information didn't contain changes", "No updates are to be performed")

_LONGEST_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed. `changes` has a line for each resource that it changes."""

    id: str
    stack_id: str
    changes: tuple[str, ...]


def create(
    client: CloudFormationClient,
    stack: str,
    *,
    kind: Literal["CREATE", "UPDATE", "IMPORT"],
    template: str,
    parameters: list[ParameterTypeDef],
    imports: list[ResourceToImportTypeDef] | None = None,
) -> ChangeSet | None:
    """Create a change set and wait until CloudFormation has computed it. None when nothing would change.

    A change set with `imports` sets no tags, because CloudFormation refuses them ("As part of the import operation, you
    cannot modify or add [RoleArn, Tags]"); the update after it sets them. Raises DeployError with CloudFormation's
    reason when it rejects the change set.
    """
    request: CreateChangeSetInputTypeDef = {
        "StackName": stack,
        "ChangeSetName": f"deploy-{secrets.token_hex(6)}",
        "ChangeSetType": kind,
        "TemplateBody": template,
        "Parameters": parameters,
        "Capabilities": ["CAPABILITY_IAM"],
    }
    if imports:
        request["ResourcesToImport"] = imports
    else:
        request["Tags"] = _tags(stack)
    made = client.create_change_set(**request)
    status, reason = _wait(client, stack, made["Id"])
    if status == "CREATE_COMPLETE":
        return ChangeSet(made["Id"], made["StackId"], _changes(client, stack, made["Id"]))
    client.delete_change_set(ChangeSetName=made["Id"], StackName=stack)
    if reason.startswith(_NO_CHANGE):
        return None
    raise DeployError(f"CloudFormation refuses to change stack {stack}: {reason or status}")


def _tags(stack: str) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in stack_tags(stack).items()]


def _wait(client: CloudFormationClient, stack: str, change_set: str) -> tuple[str, str]:
    for _ in polls(seconds=_LONGEST_WAIT_SECONDS, pause=0.2, longest_pause=5.0):
        answer = client.describe_change_set(ChangeSetName=change_set, StackName=stack)
        if answer["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return answer["Status"], answer.get("StatusReason", "")
    raise DeployError(
        f"the change set {change_set} is still not ready after five minutes: look at it in CloudFormation"
    )


def _changes(client: CloudFormationClient, stack: str, change_set: str) -> tuple[str, ...]:
    pages = client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set, StackName=stack)
    return tuple(_line(change) for page in pages for change in page.get("Changes", []))


def _line(change: ChangeTypeDef) -> str:
    resource = change["ResourceChange"]
    line = f"{resource['Action']} {resource['LogicalResourceId']} ({resource['ResourceType']})"
    replaced = {"True": ", replaced", "Conditional": ", perhaps replaced"}.get(resource.get("Replacement", ""), "")
    touched = sorted({detail["Target"].get("Name", "") for detail in resource.get("Details", []) if "Target" in detail})
    names = ", ".join(name for name in touched if name)
    return f"{line}{replaced}{f': {names}' if names else ''}"
