from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aws_setup.commands.destroy import destroy
from aws_setup.errors import UsageError
from tests.unit.aws_setup import answers
from tests.unit.aws_setup.fakes import FakeSession

STACK = "data-lake-ingestion"
GIVEN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mine-a1b2c3"
Run = Callable[..., list[str]]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return FakeSession()


@pytest.fixture
def run(session: FakeSession) -> Run:
    """Destroy the stack; returns the question and the reported lines."""

    def run(*, delete_data: bool) -> list[str]:
        lines: list[str] = []

        def agree(question: str) -> bool:
            lines.append(question)
            return True

        assert destroy(session.typed, STACK, delete_data=delete_data, confirm=agree, report=lines.append)
        session.assert_all_called()
        return lines

    return run


def deleting(session: FakeSession, parameters: dict[str, str], outputs: dict[str, str]) -> None:
    answers.script(
        session,
        answers.stack_is("CREATE_COMPLETE", parameters, outputs),
        answers.events(),
        ("delete_stack", {}),
        answers.stack_is("DELETE_COMPLETE"),
        answers.events(("DELETE_COMPLETE", STACK, "")),
    )


def idle(session: FakeSession) -> None:
    session.script("stepfunctions").add_response("list_executions", {"executions": []})


def test_bucket_and_secret_are_retained_and_the_next_deployment_imports_them(session: FakeSession, run: Run) -> None:
    deleting(session, {}, answers.OUTPUTS)
    idle(session)
    lines = run(delete_data=False)
    assert lines[0] == f"Delete the stack {STACK} and retain the bucket lake, the secret arn:aws:secret?"
    # QueueDeletedRecently in botocore's model of SQS: a queue's name is free after a minute.
    assert lines[-1].endswith(f"the next deploy of {STACK}, from a minute from now on, imports them")


def test_a_secret_that_was_given_is_never_deleted(session: FakeSession, run: Run) -> None:
    deleting(session, {"DatabaseSecretArn": GIVEN}, {**answers.OUTPUTS, "DatabaseSecretArn": GIVEN})
    idle(session)
    s3 = session.script("s3")
    versions: dict[str, Any] = {"Versions": [{"Key": "raw-layer/x.csv", "VersionId": "1"}]}
    s3.add_response("list_object_versions", versions)
    s3.add_response("delete_objects", {})
    s3.add_response("delete_bucket", {})
    lines = run(delete_data=True)
    assert lines[-1] == "deleted the bucket lake and its 1 object"
    assert not any(GIVEN in line for line in lines)


NETWORK = {"DatabaseSecurityGroupId": "sg-db", "DatabasePort": "5432"}
GROUPED = {**answers.OUTPUTS, "JobSecurityGroupId": "sg-job"}


def referring(session: FakeSession, *ports: int, way: str = "IpPermissions", group: str = "sg-db") -> None:
    """EC2 knows a group with a rule for each port that refers to the job's, in one direction.

    AWSEC2/latest/APIReference/API_DescribeSecurityGroups.html, filter ip-permission.group-id.
    """
    pairs = [{"GroupId": "sg-job"}]
    rules = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": pairs} for port in ports]
    found = {"GroupId": group, "GroupName": "database", "IpPermissions": [], "IpPermissionsEgress": [], way: rules}
    for key, prefix in (("IpPermissions", ""), ("IpPermissionsEgress", "egress.")):
        filters = [{"Name": f"{prefix}ip-permission.group-id", "Values": ["sg-job"]}]
        groups = [found] if key == way and rules else []
        session.script("ec2").add_response("describe_security_groups", {"SecurityGroups": groups}, {"Filters": filters})


def resources(session: FakeSession, *names: str) -> None:
    """CFN/APIReference/API_DescribeStackResources.html."""
    fixed = {"ResourceType": "T", "ResourceStatus": "CREATE_COMPLETE", "Timestamp": datetime(2026, 1, 1, tzinfo=UTC)}
    listed = [{"LogicalResourceId": name, **fixed} for name in names]
    session.script("cloudformation").add_response("describe_stack_resources", {"StackResources": listed})


def test_the_stack_s_own_rule_in_the_database_s_group_does_not_stop_destroy(session: FakeSession, run: Run) -> None:
    referring(session, 5432)
    answers.script(session, answers.stack_is("CREATE_COMPLETE", NETWORK, GROUPED))
    resources(session, "JobSecurityGroup", "DatabaseAdmitsJob")
    answers.script(
        session,
        answers.events(),
        ("delete_stack", {}),
        answers.stack_is("DELETE_COMPLETE"),
        answers.events(("DELETE_COMPLETE", STACK, "")),
    )
    idle(session)
    assert run(delete_data=False)[-2] == f"deleted the stack {STACK}"


@pytest.mark.parametrize(
    ("ports", "way", "group", "owned", "named"),
    [
        ((5432, 5433), "IpPermissions", "sg-db", True, "the inbound rule for port 5433 of sg-db (database)"),
        ((5432,), "IpPermissions", "sg-db", False, "the inbound rule for port 5432 of sg-db (database)"),
        ((5432,), "IpPermissions", "sg-other", True, "the inbound rule for port 5432 of sg-other (database)"),
        ((443,), "IpPermissionsEgress", "sg-db", True, "the outbound rule for port 443 of sg-db (database)"),
    ],
)
def test_a_rule_that_refers_to_the_jobs_group_is_named_before_anything_is_deleted(
    session: FakeSession, run: Run, ports: tuple[int, ...], way: str, group: str, *, owned: bool, named: str
) -> None:
    """DependencyViolation, else: github.com/gruntwork-io/cloud-nuke/issues/726."""
    referring(session, *ports, way=way, group=group)
    answers.script(session, answers.stack_is("DELETE_FAILED", NETWORK, GROUPED))
    resources(session, "JobSecurityGroup", *(["DatabaseAdmitsJob"] if owned else []))
    idle(session)
    message = f"security group sg-job while other groups refer to it: remove {named}, then run destroy again"
    with pytest.raises(UsageError, match=re.escape(message)):
        run(delete_data=False)


def test_a_caller_who_may_not_read_security_groups_may_destroy_anyway(session: FakeSession, run: Run) -> None:
    session.script("ec2").add_client_error("describe_security_groups", "UnauthorizedOperation")
    deleting(session, NETWORK, GROUPED)
    idle(session)
    assert run(delete_data=False)[0].startswith("warning: you are not allowed DescribeSecurityGroups, so")


def test_nothing_is_destroyed_while_an_execution_runs(session: FakeSession, run: Run) -> None:
    answers.script(session, answers.stack_is("CREATE_COMPLETE"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    running = {"executionArn": "e", "stateMachineArn": "m", "name": "march", "status": "RUNNING", "startDate": now}
    session.script("stepfunctions").add_response("list_executions", {"executions": [running]})
    with pytest.raises(UsageError, match="execution march is running: wait until it ends"):
        run(delete_data=False)
