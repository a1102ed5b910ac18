"""Delete the stack. The bucket and the secrets are retained unless the user asks to delete them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from boto3.session import Session
from botocore.exceptions import ClientError

from aws_setup.checks import network
from aws_setup.cloudformation import stacks
from aws_setup.commands.terminal import agreed, ask, say
from aws_setup.errors import DeployError, UsageError
from ingest_assets.aws.errors import is_denied
from ingest_assets.aws.stack import Stack, StackError, find_stack, stack_name
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

Report = Callable[[str], None]


HELP = "delete the stack and retain its bucket and secrets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--delete-data", action="store_true", help="delete the bucket, its objects and the secrets too")


def run(options: argparse.Namespace) -> int:
    """Delete the stack; 1 when the user answers no."""
    confirm = agreed if options.yes else _confirm
    done = destroy(Session(), stack_name(), delete_data=options.delete_data, confirm=confirm, report=say)
    return 0 if done else 1


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("destroy asks before it deletes: give --yes when nobody can answer")
    return ask(question)


def destroy(session: Session, stack: str, *, delete_data: bool, confirm: Callable[[str], bool], report: Report) -> bool:
    """Delete the stack if `confirm` returns True for the question; returns whether it was deleted.

    Raises StackError when there is no such stack. Raises UsageError while an execution is running (nothing would
    end its job), and while a rule of another security group refers to the job's group (EC2 would not delete that).
    Raises DeployError when a resource or an object could not be deleted.
    """
    client = session.client("cloudformation")
    found = find_stack(client, stack)
    if found is None:
        raise StackError(f"no stack named {stack}: check INGEST_STACK and the region")
    _check_idle(session, found)
    _check_security_group(session, client, found, report)
    data = _data(found)
    fate = "and delete" if delete_data else "and retain"
    if not confirm(f"Delete the stack {stack} {fate} {', '.join(data)}?"):
        return False
    stacks.remove(client, found, report)
    report(f"deleted the stack {stack}")
    if delete_data:
        _delete_data(session, found, report)
    else:
        report(f"retained {', '.join(data)}; the next deploy of {stack}, from a minute from now on, imports them")
    return True


def _check_idle(session: Session, stack: Stack) -> None:
    arn = stack.outputs.get("StateMachineArn")
    if arn is None:
        return
    running = stacks.running_executions(session, arn)
    if running:
        raise UsageError(f"execution {running[0]} is running: wait until it ends or stop it, then try again")


def _check_security_group(session: Session, client: CloudFormationClient, stack: Stack, report: Report) -> None:
    group = stack.outputs.get("JobSecurityGroupId")
    if group is None:
        return
    try:
        referring = network.rules_referring_to(session, group)
    except ClientError as refused:
        if not is_denied(refused):
            raise
        report(
            f"warning: you are not allowed {refused.operation_name}, so destroy did not check whether other security"
            f" groups refer to {group}"
        )
        return
    owns = bool(referring) and stacks.has_resource(client, stack, "DatabaseAdmitsJob")
    foreign = [rule.to_text() for rule in referring if not (owns and _admits_job(rule, stack))]
    if foreign:
        raise UsageError(
            f"EC2 cannot delete the job's security group {group} while other groups refer to it: remove"
            f" {', '.join(foreign)}, then run destroy again"
        )


def _admits_job(rule: network.Rule, stack: Stack) -> bool:
    """Whether this is the rule that the template creates; EC2 stores no two equal rules."""
    port = int(stack.parameters["DatabasePort"])
    made = (stack.parameters["DatabaseSecurityGroupId"], "inbound", (port, port))
    return (rule.group_id, rule.way, rule.ports) == made


def _data(stack: Stack) -> list[str]:
    names = [f"the bucket {stack.outputs['BucketName']}"] if "BucketName" in stack.outputs else []
    return names + [f"the secret {arn}" for arn in _secrets(stack)] or ["nothing else"]


def _secrets(stack: Stack) -> list[str]:
    """The secrets that the stack created; a secret given as a parameter belongs to somebody else."""
    if stack.parameters.get("DatabaseSecretArn"):
        return [stack.outputs["AwsKeysSecretArn"]] if "AwsKeysSecretArn" in stack.outputs else []
    return [stack.outputs[key] for key in ("DatabaseSecretArn", "AwsKeysSecretArn") if key in stack.outputs]


def _delete_data(session: Session, stack: Stack, report: Report) -> None:
    if "BucketName" in stack.outputs:
        _delete_bucket(session, stack.outputs["BucketName"], report)
    secrets = session.client("secretsmanager")
    for arn in _secrets(stack):
        try:
            secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
        report(f"deleted the secret {arn}")


def _delete_bucket(session: Session, bucket: str, report: Report) -> None:
    client = session.client("s3")
    count = 0
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects: list[ObjectIdentifierTypeDef] = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in listed
        ]
        if objects:
            refused = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
            if refused:
                raise DeployError(f"cannot delete s3://{bucket}/{refused[0]['Key']}: {refused[0].get('Message', '')}")
            count += len(objects)
    client.delete_bucket(Bucket=bucket)
    report(f"deleted the bucket {bucket} and its {counted(count, 'object')}")
