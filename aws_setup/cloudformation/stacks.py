"""What happens to a CloudFormation stack while it changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_setup.errors import DeployError
from ingest_assets.aws.stack import Stack, find_stack
from ingest_assets.aws.waiting import polls

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

Report = Callable[[str], None]

# CloudFormation's reasons for resources that failed only because another one failed.
_CONSEQUENCES = ("Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled")

# "You must wait 60 seconds after deleting a queue before you can create another queue with the same name":
# QueueDeletedRecently in botocore's model of SQS.
_QUEUE_NAME_SECONDS = 60.0

_LONGEST_WAIT_SECONDS = 3600.0

# How long a stack may show its old status after CloudFormation accepted a change.
_LONGEST_DELAY_SECONDS = 15.0


class Watch:
    """Reports the events of a stack from now on, one line for each."""

    def __init__(self, client: CloudFormationClient, stack_id: str, report: Report) -> None:
        self._client = client
        self._stack_id = stack_id
        self._report = report
        self._failures: list[str] = []
        self._rolled_back_for = ""
        self._seen: set[str] = set()
        self._begun = False
        self._new_events()

    def wait(self) -> Stack:
        """The stack when CloudFormation has finished. Raises DeployError when that takes more than an hour."""
        for waited in polls(seconds=_LONGEST_WAIT_SECONDS, pause=0.2, longest_pause=5.0):
            stack = find_stack(self._client, self._stack_id)  # before the events, so that no last event is missed
            for event in self._new_events():
                self._report_event(event)
            if stack is None:
                raise DeployError(f"the stack {self._stack_id} no longer exists")
            if not stack.changing and (self._begun or waited > _LONGEST_DELAY_SECONDS):
                return stack
        raise DeployError(f"CloudFormation still works on {self._stack_id} after an hour: look at the stack's events")

    @property
    def reasons(self) -> str:
        """The resources that failed first, each with its reason; else the reason of the stack's rollback."""
        return "; ".join(self._failures) or self._rolled_back_for or "see the stack's events"

    def _new_events(self) -> list[StackEventTypeDef]:
        """The events since the last call, oldest first."""
        events: list[StackEventTypeDef] = []
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=self._stack_id):
            fresh = [event for event in page["StackEvents"] if event["EventId"] not in self._seen]
            events += fresh
            if len(fresh) < len(page["StackEvents"]):
                break
        self._seen |= {event["EventId"] for event in events}
        return events[::-1]

    def _report_event(self, event: StackEventTypeDef) -> None:
        status, reason = event.get("ResourceStatus", ""), event.get("ResourceStatusReason", "")
        resource = f"{event.get('LogicalResourceId', '')} ({event.get('ResourceType', '')})"
        self._report(f"{status} {resource}{f': {reason}' if reason else ''}")
        of_the_stack = event.get("PhysicalResourceId") == event["StackId"]
        self._begun = self._begun or of_the_stack
        if of_the_stack and "ROLLBACK_IN_PROGRESS" in status:
            self._rolled_back_for = reason
        if status.endswith("_FAILED") and not of_the_stack and not reason.startswith(_CONSEQUENCES):
            self._failures.append(f"{resource}: {reason}")


def has_resource(client: CloudFormationClient, stack: Stack, logical_id: str) -> bool:
    """Whether the stack has this resource of the template, also when the stack is DELETE_FAILED."""
    listed = client.describe_stack_resources(StackName=stack.id)["StackResources"]
    # moto lists one without names for a resource whose condition does not hold
    return any(one.get("LogicalResourceId") == logical_id for one in listed)


def remove(client: CloudFormationClient, stack: Stack, report: Report) -> None:
    """Delete the stack. Raises DeployError with the reasons when a resource could not be deleted."""
    watch = Watch(client, stack.id, report)
    client.delete_stack(StackName=stack.id)
    last = watch.wait()
    if last.status != "DELETE_COMPLETE":
        raise failed(last, watch)


def wait_for_names(report: Report) -> None:
    """Wait until SQS accepts the names of the deleted queues again."""
    report(f"waiting {_QUEUE_NAME_SECONDS:.0f} s, because SQS blocks the names of deleted queues for that long")
    time.sleep(_QUEUE_NAME_SECONDS)


def failed(stack: Stack, watch: Watch) -> DeployError:
    """The error that says why the stack has its status."""
    return DeployError(f"stack {stack.name} is {stack.status}: {watch.reasons}")


def running_executions(session: Session, state_machine: str) -> list[str]:
    """The names of running executions, newest first, at most one page of them."""
    client = session.client("stepfunctions")
    answer = client.list_executions(stateMachineArn=state_machine, statusFilter="RUNNING")
    return [execution["name"] for execution in answer["executions"]]
