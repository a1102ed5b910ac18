"""What deploy does when CloudFormation fails, or when the stack cannot be changed."""

from __future__ import annotations

import pytest

from aws_setup.commands.deploy import dry_run
from aws_setup.errors import DeployError
from tests.unit.aws_setup.answers import (
    EXECUTED,
    MADE,
    STACK,
    change_set,
    events,
    nothing_retained,
    script,
    stack_is,
    uploads,
)
from tests.unit.aws_setup.conftest import Run
from tests.unit.aws_setup.fakes import FakeSession


def failing_update(session: FakeSession, parameters: dict[str, str], *happened: tuple[str, str, str]) -> None:
    """An update that is rolled back."""
    script(
        session,
        stack_is("UPDATE_COMPLETE", parameters),
        MADE,
        change_set("CREATE_COMPLETE"),
        change_set("CREATE_COMPLETE"),
        events(),
        EXECUTED,
        stack_is("UPDATE_ROLLBACK_COMPLETE", parameters),
        events(*happened),
    )
    uploads(session)


def test_a_failed_update_gives_the_reason_of_the_resource_that_failed_first(
    session: FakeSession, run: Run, parameters: dict[str, str]
) -> None:
    happened = (
        ("UPDATE_IN_PROGRESS", STACK, "User Initiated"),
        ("UPDATE_FAILED", "StateMachine", "Invalid State Machine Definition"),
        ("UPDATE_FAILED", "Schedule", "Resource update cancelled"),
        ("UPDATE_ROLLBACK_COMPLETE", STACK, ""),
    )
    failing_update(session, parameters, *happened)
    with pytest.raises(
        DeployError,
        match=r"is UPDATE_ROLLBACK_COMPLETE: StateMachine \(AWS::Some::Type\): Invalid State Machine Definition$",
    ):
        run(MaximumExecutors="5")


def test_a_stack_whose_creation_failed_is_deleted_and_created_again(
    session: FakeSession, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_retained(session)
    script(
        session,
        stack_is("ROLLBACK_COMPLETE", outputs={}),
        events(("ROLLBACK_COMPLETE", STACK, "")),
        ("delete_stack", {}),
        stack_is("DELETE_COMPLETE", outputs={}),
        events(("ROLLBACK_COMPLETE", STACK, ""), ("DELETE_COMPLETE", STACK, "")),
        MADE,
        change_set("CREATE_COMPLETE"),
        change_set("CREATE_COMPLETE"),
        events(),
        EXECUTED,
        stack_is("CREATE_COMPLETE"),
        events(("CREATE_COMPLETE", STACK, "")),
        stack_is("CREATE_COMPLETE"),
    )
    uploads(session)
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    lines = run(BucketName="lake")
    assert lines[0] == f"stack {STACK} is ROLLBACK_COMPLETE: deleting what the failed creation left behind"
    # QueueDeletedRecently in botocore's model of SQS.
    assert "waiting 60 s, because SQS blocks the names of deleted queues for that long" in lines
    assert 60.0 in pauses


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("UPDATE_IN_PROGRESS", "deploy again when CloudFormation has finished"),
        ("UPDATE_ROLLBACK_FAILED", "continue its rollback"),
        ("DELETE_FAILED", "destroy"),
    ],
)
def test_a_stack_that_cannot_be_changed_now_is_left_alone(
    session: FakeSession, run: Run, status: str, advice: str
) -> None:
    script(session, stack_is(status))
    with pytest.raises(DeployError, match=f"is {status}: .*{advice}"):
        run()


def test_a_dry_run_over_a_failed_creation_says_what_deploy_would_do(session: FakeSession, run: Run) -> None:
    script(session, stack_is("ROLLBACK_COMPLETE", outputs={}))
    nothing_retained(session)
    assert run(dry_run, BucketName="lake") == [
        f"stack {STACK} is ROLLBACK_COMPLETE: deploy would delete it and create it again"
    ]


def test_a_failed_update_without_a_failed_resource_gives_the_reason_of_the_stack(
    session: FakeSession, run: Run, parameters: dict[str, str]
) -> None:
    reason = "Resource handler returned message: the policy is too long"
    rolled_back = (("UPDATE_ROLLBACK_IN_PROGRESS", STACK, reason), ("UPDATE_ROLLBACK_COMPLETE", STACK, ""))
    failing_update(session, parameters, *rolled_back)
    with pytest.raises(DeployError, match=f"is UPDATE_ROLLBACK_COMPLETE: {reason}$"):
        run(MaximumExecutors="5")
