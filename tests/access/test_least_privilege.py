"""Every call of a whole run is allowed by the roles of the template, and the roles allow nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.policies import Policies, Request
from tests.access.run import Run, record
from tests.validators import variants

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return record(tmp_path_factory.mktemp("access"))


def used(run: Run) -> Iterator[tuple[str, str, str]]:
    """Owner, Sid and action of what each request needs."""
    for request in run.requests:
        allowing = run.policies.allowing(request)
        if allowing is not None:
            yield (*allowing, request.action)


def test_the_run_has_calls_of_every_principal(run: Run) -> None:
    assert {call.principal for call, _ in run.recorded} == {"host", "state machine", "job"}
    assert len(run.recorded) > 60


def test_every_call_is_allowed(run: Run) -> None:
    assert [request for request in run.requests if run.policies.allowing(request) is None] == []


def test_every_allowed_action_is_used_or_explained(run: Run) -> None:
    needed = set(used(run))
    allowed = {
        (owner, statement["Sid"], action)
        for owner, statements in run.policies.statements.items()
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert allowed - needed == set()


def test_a_connection_without_encryption_is_denied(run: Run) -> None:
    plain = Request("job", "s3:GetObject", f"{bucket(run)}/raw-layer/a.csv", {"aws:SecureTransport": "false"})
    assert run.policies.allowing(plain) is None
    assert run.policies.without("Bucket", "EncryptedConnectionsOnly").allowing(plain) is not None


def test_without_any_one_statement_something_is_denied(run: Run) -> None:
    """Denied, or for the statement that denies, allowed."""
    needless = [
        (owner, sid)
        for owner, sid in run.policies.named()
        if owner != "Bucket" and all_allowed(run.policies.without(owner, sid), run.requests)
    ]
    assert needless == []


def all_allowed(policies: Policies, requests: list[Request]) -> bool:
    return all(policies.allowing(request) is not None for request in requests)


def bucket(run: Run) -> str:
    """The bucket's ARN."""
    return next(request.resource for request in run.requests if request.action == "s3:GetBucketLocation")


@pytest.mark.parametrize(
    ("principal", "action", "resource"),
    [
        ("job", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:123456789012:secret:OTHER-a1b2c3"),
        ("job", "s3:PutObject", "{bucket}/script/0a1b/main.py"),
        ("job", "s3:DeleteObject", "{bucket}/config/tables.json"),
        ("job", "s3:GetObject", "arn:aws:s3:::another/raw-layer/a.csv"),
        ("host", "s3:PutObject", "{bucket}/raw-layer/a.csv"),
        ("host", "secretsmanager:GetSecretValue", "{secret}"),
        ("host", "states:StartExecution", "arn:aws:states:us-east-1:123456789012:stateMachine:another"),
        ("state machine", "iam:PassRole", "arn:aws:iam::123456789012:role/admin"),
        ("schedule", "states:StopExecution", "arn:aws:states:us-east-1:123456789012:execution:x:y"),
        ("sns.amazonaws.com", "sqs:SendMessage", "{queue}"),
    ],
)
def test_what_nobody_needs_is_denied(run: Run, principal: str, action: str, resource: str) -> None:
    known = {request.action: request.resource for request in run.requests}
    named = {
        "bucket": bucket(run),
        "secret": known["secretsmanager:GetSecretValue"],
        "queue": known["sqs:ReceiveMessage"],
    }
    request = Request(
        principal, action, resource.format(**named), {"iam:PassedToService": "emr-serverless.amazonaws.com"}
    )
    assert run.policies.allowing(request) is None


def test_the_key_of_the_topics_lets_services_use_it_and_the_account_decide() -> None:
    found = variants.policies(variants.variant("defaults"), variants.VARIANTS["defaults"])
    policies = Policies({"NotificationKey": tuple(found["NotificationKey.0"]["Statement"])})
    for service in ("events.amazonaws.com", "cloudwatch.amazonaws.com"):
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            assert policies.allowing(Request(service, action, "*")) == ("NotificationKey", "Publishers")
    assert policies.allowing(Request("sns.amazonaws.com", "kms:Decrypt", "*")) is None
    assert policies.allowing(Request("events.amazonaws.com", "kms:ScheduleKeyDeletion", "*")) is None
    root = Request("arn:aws:iam::123456789012:root", "kms:ScheduleKeyDeletion", "*")
    assert policies.allowing(root) == ("NotificationKey", "Account")
    key = "arn:aws:kms:us-east-1:123456789012:key/NotificationKey"
    users = {owner for owner, document in found.items() if key in str(document["Statement"])}
    assert users == {"StateMachineRole.0", "DagsterHostPolicy.0"}  # they publish
