"""The policies of the deployed stack, and whether they allow a request.

Decides as IAM does within one account: an explicit deny wins, else a statement that matches allows
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html). Knows the condition
operators that the template uses, and refuses others.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from boto3.session import Session

Statement = Mapping[str, Any]
_ROLES = {"job": "JobRole", "state machine": "StateMachineRole", "schedule": "SchedulerRole"}


@dataclass(frozen=True)
class Request:
    """An action on a resource; `context` holds condition keys, `principal` who asks (a service by its host name)."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policies:
    """Statements by owner: a principal for its own policies, a resource for those that stand on it."""

    statements: Mapping[str, tuple[Statement, ...]]

    def without(self, owner: str, sid: str) -> Policies:
        """The same without one statement."""
        rest = tuple(one for one in self.statements[owner] if one["Sid"] != sid)
        return Policies({**self.statements, owner: rest})

    def allowing(self, request: Request) -> tuple[str, str] | None:
        """Owner and Sid of a statement that allows the request, None when it is denied."""
        own = [
            (owner, one) for owner, each in self.statements.items() for one in each if _concerns(owner, one, request)
        ]
        matching = [(owner, one) for owner, one in own if matches(one, request)]
        if any(one["Effect"] == "Deny" for _, one in matching):
            return None
        return next(((owner, one["Sid"]) for owner, one in matching), None)

    def named(self) -> list[tuple[str, str]]:
        """Owner and Sid of every statement."""
        return [(owner, one["Sid"]) for owner, each in self.statements.items() for one in each]


def _concerns(owner: str, statement: Statement, request: Request) -> bool:
    if "Principal" not in statement:
        return owner == request.principal
    if statement["Principal"] == "*":
        return True
    return any(request.principal in _list(names) for names in statement["Principal"].values())


def matches(statement: Statement, request: Request) -> bool:
    """Whether the statement is about this request."""
    return (
        any(_like(pattern, request.action, re.IGNORECASE) for pattern in _list(statement["Action"]))
        and any(_like(pattern, request.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, request.context.get(key), _list(expected))
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        )
    )


def _holds(operator: str, value: str | None, expected: Sequence[str]) -> bool:
    if operator not in ("StringEquals", "Bool", "StringLike", "ArnEquals", "ArnLike"):
        raise ValueError(f"the condition operator {operator} is not known here")
    if value is None:
        return False
    if operator in ("StringEquals", "Bool"):
        return value in expected
    return any(_like(pattern, value) for pattern in expected)


def _like(pattern: str, text: str, flags: int = 0) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, flags) is not None


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def resource_ids(session: Session, stack: str) -> dict[str, str]:
    """The ids that the stack's resources have, by those that the template gives them."""
    listed = session.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    # moto lists one without names for a resource whose condition does not hold
    return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed if "LogicalResourceId" in one}


def read(session: Session, stack: str) -> Policies:
    """The policies of the stack as they stand on its roles, queues, topics and bucket."""
    ids = resource_ids(session, stack)
    found = {principal: _of_role(session, ids[logical_id]) for principal, logical_id in _ROLES.items()}
    found["host"] = _of_managed_policy(session, ids["DagsterHostPolicy"])
    sqs, sns = session.client("sqs"), session.client("sns")
    for queue in ("Queue", "DeadLetterQueue"):
        attributes = sqs.get_queue_attributes(QueueUrl=ids[queue], AttributeNames=["Policy"])["Attributes"]
        found[queue] = _statements(json.loads(attributes["Policy"]))
    for topic in ("FailureTopic", "AlarmTopic"):
        found[topic] = _statements(json.loads(sns.get_topic_attributes(TopicArn=ids[topic])["Attributes"]["Policy"]))
    # Objects live in another server here; the bucket of the stack has the settings.
    s3 = session.client("s3", endpoint_url=session.client("sqs").meta.endpoint_url)
    found["Bucket"] = _statements(json.loads(s3.get_bucket_policy(Bucket=ids["Bucket"])["Policy"]))
    return Policies(found)


def _of_role(session: Session, role: str) -> tuple[Statement, ...]:
    client = session.client("iam")
    names = client.list_role_policies(RoleName=role)["PolicyNames"]
    texts = [str(client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]) for name in names]
    # moto keeps the policies of a stack's role as Python writes them
    return tuple(one for text in texts for one in _statements(ast.literal_eval(text)))


def _of_managed_policy(session: Session, arn: str) -> tuple[Statement, ...]:
    client = session.client("iam")
    version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document: Any = client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return _statements(document)


def _statements(document: Mapping[str, Iterable[Statement]]) -> tuple[Statement, ...]:
    return tuple(document["Statement"])
