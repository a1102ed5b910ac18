"""Create or update the stack by change set, and upload to its bucket what the state machine runs.

The first deployment creates the stack before it uploads, because the stack creates the bucket. Later deployments
upload first, because the changed state machine names the uploaded files. A bucket and secrets that `destroy` retained
are imported before the rest of the stack is created (see cloudformation/retained.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.session import Session
from botocore.exceptions import ClientError

from aws_setup.cloudformation import changeset, parameters, retained, stacks, template
from aws_setup.commands import preflight
from aws_setup.commands.arguments import add_parameters, given_parameters
from aws_setup.commands.terminal import agreed, ask, say
from aws_setup.errors import DeployError
from aws_setup.job_bundle import artifacts, jdbc
from ingest_assets.aws.stack import Stack, StackOutputs, find_stack, stack_name

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

Report = Callable[[str], None]

_ADVICE = {
    "UPDATE_ROLLBACK_FAILED": "continue its rollback (`aws cloudformation continue-update-rollback`) and deploy again",
    "IMPORT_ROLLBACK_FAILED": "look at its events, and delete the stack with all resources retained",
    "DELETE_FAILED": "run `python -m aws_setup destroy` again, then deploy",
}
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")

_SERVICE_LINKED_ROLE = (
    "EMR Serverless creates the role AWSServiceRoleForAmazonEMRServerless with the first application of an AWS account,"
    " which may take a minute. If AWS refuses that, run `aws iam create-service-linked-role --aws-service-name"
    " ops.emr-serverless.amazonaws.com`"
)


HELP = "create or update the stack, upload the job and the tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_parameters(parser, preflight.CHECKS)
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before creating a stack")


def run(options: argparse.Namespace) -> int:
    """Deploy, or show what would change."""
    request = DeployRequest(
        stack_name(), given_parameters(options), driver_jar=jdbc.driver_jar(), ignore=options.ignore
    )
    if options.dry_run:
        dry_run(Session(), request, say)
    else:
        # In a pipeline nobody can answer, and a new stack is what was asked for.
        confirm = agreed if options.yes or not sys.stdin.isatty() else ask
        deploy(Session(), request, say, confirm)
    return 0


@dataclass(frozen=True)
class DeployRequest:
    """What to deploy from this checkout.

    `given` are template parameters; the others keep their values. `tables` is the path of a tables.yaml, None stands
    for the environment's. `ignore` names the preflight checks to leave out.
    """

    stack: str
    given: Mapping[str, str]
    driver_jar: Path
    tables: Path | None = None
    ignore: Collection[str] = ()


@dataclass(frozen=True)
class _Plan:
    """What a deployment starts from.

    `found` is the stack in whatever state, `existing` is the stack if it can be updated. `taken_over` holds the
    retained resources to import, by logical id. `values` are the effective parameters, `complete` those of the change
    set.
    """

    found: Stack | None
    existing: Stack | None
    taken_over: Mapping[str, retained.Resource]
    values: Mapping[str, str]
    complete: list[ParameterTypeDef] = field(repr=False)
    built: artifacts.Artifacts = field(repr=False)

    @property
    def bucket(self) -> str | None:
        """The bucket of the existing stack."""
        return self.existing.outputs.get("BucketName") if self.existing else None


def deploy(
    session: Session, request: DeployRequest, report: Report, confirm: Callable[[str], bool] = agreed
) -> StackOutputs:
    """Create the stack or update it, and return its outputs.

    `report` gets a line per step; the first names account and region. `confirm` is called before a stack is created.
    Raises UsageError, TablesError and CronError before anything is changed, and DeployError with the preflight's
    errors, with CloudFormation's reasons, or because `confirm` returned False.
    """
    client, stack = session.client("cloudformation"), request.stack
    where = _where(session)
    report(f"deploying stack {stack} to {where}")
    plan = _plan(session, request, report)
    if plan.found is None and not confirm(f"There is no stack {stack} in {where}. Create it?"):
        raise DeployError("nothing was deployed")
    if plan.bucket is not None:
        artifacts.upload(session.client("s3"), plan.bucket, plan.built, report)
    _clear(client, plan, report)
    _import(client, stack, plan, report)
    change_set = _change_set(client, stack, plan)
    if change_set is None:
        report(f"stack {stack} is up to date")
    else:
        _execute(client, stack, change_set, report)
    outputs = StackOutputs.read(client, stack)
    if outputs.bucket_name != plan.bucket:
        artifacts.upload(session.client("s3"), outputs.bucket_name, plan.built, report)
    elif change_set is not None:
        _prune(session, outputs, plan, report)
    for line in _explanations(plan):
        report(line)
    return outputs


def dry_run(session: Session, request: DeployRequest, report: Report) -> None:
    """Run all checks of `deploy` and `report` what it would change, without changing anything.

    Raises the errors that `deploy` raises.
    """
    client, stack = session.client("cloudformation"), request.stack
    report(f"looking at stack {stack} in {_where(session)}")
    plan = _plan(session, request, report)
    if plan.found is not None and plan.existing is None and plan.found.status != "REVIEW_IN_PROGRESS":
        report(f"stack {stack} is {plan.found.status}: deploy would delete it and create it again")
        return
    change_set = _import_set(client, stack, plan) if plan.taken_over else _change_set(client, stack, plan)
    if change_set is None:
        report(f"stack {stack} would not change")
        return
    for change in change_set.changes:
        report(change)
    if plan.taken_over:
        report("deploy would then add the rest of the template")
    client.delete_change_set(ChangeSetName=change_set.id, StackName=stack)
    if plan.found is None:
        client.delete_stack(StackName=change_set.stack_id)  # the change set created it, empty


def _where(session: Session) -> str:
    """The account and the region of the session."""
    client = session.client("sts")
    return f"account {client.get_caller_identity()['Account']}, region {client.meta.region_name}"


def _plan(session: Session, request: DeployRequest, report: Report) -> _Plan:
    """Read what exists and run the checks, without changing anything."""
    parameters.check(request.given)
    found = find_stack(session.client("cloudformation"), request.stack)
    existing = _usable(found)
    taken_over = retained.find(session, request.stack, request.given) if existing is None else {}
    given = {**retained.names(taken_over), **request.given}
    previous = existing.parameters if existing else None
    values = parameters.effective(given, previous)
    target = preflight.Target(
        request.stack, values, existing, taken_over, request.tables, driver_jar=lambda: request.driver_jar
    )
    preflight.enforce(preflight.check(session, target, request.ignore), report)
    built = artifacts.build(request.tables, request.driver_jar)
    complete = parameters.complete(
        given, previous, stack=request.stack, script_prefix=built.script_prefix, driver_key=built.driver_key
    )
    return _Plan(found, existing, taken_over, values, complete, built)


def _usable(stack: Stack | None) -> Stack | None:
    """The stack to update, None when it must be created. Raises DeployError when neither is possible now."""
    if stack is None or not stack.made:
        return None
    if stack.changing:
        raise DeployError(f"stack {stack.name} is {stack.status}: deploy again when CloudFormation has finished")
    if stack.status in _ADVICE:
        raise DeployError(f"stack {stack.name} is {stack.status}: {_ADVICE[stack.status]}")
    return stack


def _clear(client: CloudFormationClient, plan: _Plan, report: Report) -> None:
    """Delete a stack whose creation failed, because CloudFormation can neither update nor create it."""
    if plan.existing is None and plan.found is not None and plan.found.status != "REVIEW_IN_PROGRESS":
        report(f"stack {plan.found.name} is {plan.found.status}: deleting what the failed creation left behind")
        stacks.remove(client, plan.found, report)
        stacks.wait_for_names(report)


def _import_set(client: CloudFormationClient, stack: str, plan: _Plan) -> changeset.ChangeSet | None:
    return changeset.create(
        client,
        stack,
        kind="IMPORT",
        template=retained.import_template(plan.taken_over),
        parameters=plan.complete,
        imports=retained.to_import(plan.taken_over),
    )


def _import(client: CloudFormationClient, stack: str, plan: _Plan, report: Report) -> None:
    for one in plan.taken_over.values():
        report(f"importing {one.value}, which an earlier stack left behind")
    change_set = _import_set(client, stack, plan) if plan.taken_over else None
    if change_set is not None:
        _execute(client, stack, change_set, report)


def _change_set(client: CloudFormationClient, stack: str, plan: _Plan) -> changeset.ChangeSet | None:
    if plan.existing is not None and _current(client, plan.existing, plan.complete):
        return None
    return changeset.create(
        client,
        stack,
        kind="CREATE" if plan.existing is None and not plan.taken_over else "UPDATE",
        template=template.rendered(),
        parameters=plan.complete,
    )


def _current(client: CloudFormationClient, stack: Stack, complete: list[ParameterTypeDef]) -> bool:
    """Whether the stack already has this template and these parameters, so that no change set is needed."""
    values = {one["ParameterKey"]: one["ParameterValue"] for one in complete if "ParameterValue" in one}
    if values.items() - stack.parameters.items():
        return False
    return template.is_current(client.get_template(StackName=stack.name)["TemplateBody"])


def _execute(client: CloudFormationClient, stack: str, change_set: changeset.ChangeSet, report: Report) -> None:
    for change in change_set.changes:
        report(change)
    watch = stacks.Watch(client, change_set.stack_id, report)
    client.execute_change_set(ChangeSetName=change_set.id, StackName=stack)
    last = watch.wait()
    if last.status not in _DONE:
        raise stacks.failed(last, watch)


def _prune(session: Session, outputs: StackOutputs, plan: _Plan, report: Report) -> None:
    """Delete uploads that neither this deployment nor the previous one uses, unless an execution is running."""
    used = [f"{plan.built.script_prefix}/", plan.built.driver_key]
    if plan.existing is not None:
        before = plan.existing.parameters
        used += [f"{before['ScriptPrefix']}/", before["DriverKey"]] if "ScriptPrefix" in before else []
    try:
        if not stacks.running_executions(session, outputs.state_machine_arn):
            artifacts.prune(session.client("s3"), outputs.bucket_name, used, report)
    except ClientError as error:  # the deployment itself is done
        report(f"warning: old uploads were not deleted: {error}")


def _explanations(plan: _Plan) -> Iterator[str]:
    """Lines about what AWS does next without reporting it."""
    before = plan.existing.parameters if plan.existing else {}
    for name, mails in (("SuccessEmail", "a mail"), ("FailureEmail", "two mails (failures and alarms)")):
        address = plan.values.get(name)
        if address and address != before.get(name):
            yield (
                f"AWS sends {mails} to {address} with a link that confirms the subscription. Notifications arrive only"
                f" after somebody opens it. The link expires after 2 days: then deploy with {name} empty, and again"
                f" with {address}"
            )
    if plan.existing is None:
        yield _SERVICE_LINKED_ROLE
