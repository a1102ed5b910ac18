"""Create or update the stack by change set, and put into its bucket what the state machine runs.

The first time the stack comes first, since it makes the bucket; later the uploads do, since the changed state
machine names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aws_setup import artifacts, changeset, parameters, stacks, template
from aws_setup.errors import DeployError
from ingest_assets.stack import StackOutputs

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

Report = Callable[[str], None]

# A stack whose creation failed has nothing to update. Its bucket and secrets went with it (RetainExceptOnCreate).
_NEVER_MADE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")

_ADVICE = {
    "UPDATE_ROLLBACK_FAILED": "continue its rollback (`aws cloudformation continue-update-rollback`) and deploy again",
    "DELETE_FAILED": "run `python -m aws_setup destroy` again and then deploy",
}


@dataclass(frozen=True)
class _Plan:
    """What a deployment will do. `existing` is None before the first one, `change_set` when nothing changes."""

    existing: stacks.Stack | None
    change_set: changeset.ChangeSet | None
    built: artifacts.Artifacts


def deploy(
    session: Session,
    *,
    stack: str,
    parameters: Mapping[str, str],
    tables: Path | None,
    driver_jar: Path,
    report: Report,
) -> StackOutputs:
    """Bring the stack named `stack` to this checkout and return its outputs.

    `parameters` are template parameters; those not given keep their value. `tables` is a tables.yaml, None the one
    of the environment. `report` gets a line per step. Raises UsageError, TablesError and CronError before anything is
    changed, DeployError with CloudFormation's reasons.
    """
    client = session.client("cloudformation")
    plan = _plan(client, stack, parameters, tables, driver_jar, report)
    bucket = plan.existing.outputs.get("BucketName") if plan.existing else None
    if bucket is not None:
        artifacts.upload(session.client("s3"), bucket, plan.built, report)
    if plan.change_set is None:
        report(f"stack {stack} is up to date")
    else:
        _execute(client, stack, plan.change_set, report)
    outputs = StackOutputs.read(client, stack)
    if outputs.bucket_name != bucket:
        artifacts.upload(session.client("s3"), outputs.bucket_name, plan.built, report)
    return outputs


def dry_run(
    session: Session,
    *,
    stack: str,
    parameters: Mapping[str, str],
    tables: Path | None,
    driver_jar: Path,
    report: Report,
) -> None:
    """`report` what `deploy` would change, and change nothing. Raises what `deploy` raises."""
    client = session.client("cloudformation")
    existing = stacks.describe(client, stack)
    if existing is not None and existing.status in _NEVER_MADE:
        raise DeployError(f"stack {stack} is {existing.status}: deploy would delete it and create it anew")
    plan = _plan(client, stack, parameters, tables, driver_jar, report)
    if plan.change_set is None:
        report(f"stack {stack} would not change")
        return
    for change in plan.change_set.changes:
        report(change)
    client.delete_change_set(ChangeSetName=plan.change_set.id, StackName=stack)
    if plan.existing is None:
        client.delete_stack(StackName=plan.change_set.stack_id)  # the empty one that the change set made


def _plan(
    client: CloudFormationClient,
    stack: str,
    given: Mapping[str, str],
    tables: Path | None,
    driver_jar: Path,
    report: Report,
) -> _Plan:
    parameters.check(given)
    built = artifacts.build(tables, driver_jar)
    existing = _usable(client, stack, report)
    complete = parameters.complete(
        given,
        existing.parameters if existing else None,
        stack=stack,
        script_prefix=built.script_prefix,
        driver_key=built.driver_key,
    )
    if existing is not None and _current(client, existing, complete):
        return _Plan(existing, None, built)
    change_set = changeset.create(
        client, stack, update=existing is not None, template=template.rendered(), parameters=complete
    )
    return _Plan(existing, change_set, built)


def _current(client: CloudFormationClient, stack: stacks.Stack, complete: list[ParameterTypeDef]) -> bool:
    """Whether the stack has this template and these parameters: then no change set is needed to add a table."""
    values = {one["ParameterKey"]: one["ParameterValue"] for one in complete if "ParameterValue" in one}
    if values.items() - stack.parameters.items():
        return False
    # botocore reads a JSON body into a mapping, whatever the stubs say
    return bool(client.get_template(StackName=stack.name)["TemplateBody"] == template.template())


def _usable(client: CloudFormationClient, name: str, report: Report) -> stacks.Stack | None:
    """The stack to update, None when it must be created. One whose creation failed is deleted."""
    stack = stacks.describe(client, name)
    if stack is None or stack.status == "REVIEW_IN_PROGRESS":  # the latter has change sets and nothing else
        return None
    if stack.changing:
        raise DeployError(f"stack {name} is {stack.status}: deploy again when that is over")
    if stack.status in _ADVICE:
        raise DeployError(f"stack {name} is {stack.status}: {_ADVICE[stack.status]}")
    if stack.status in _NEVER_MADE:
        report(f"stack {name} is {stack.status}: deleting what its failed creation left")
        stacks.remove(client, stack, report)
        return None
    return stack


def _execute(client: CloudFormationClient, stack: str, change_set: changeset.ChangeSet, report: Report) -> None:
    for change in change_set.changes:
        report(change)
    watch = stacks.Watch(client, change_set.stack_id, report)
    client.execute_change_set(ChangeSetName=change_set.id, StackName=stack)
    last = watch.wait()
    if last.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise stacks.failed(last, watch)
