from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aws_setup.destroy import destroy
from aws_setup.errors import UsageError
from tests.unit.aws import answers
from tests.unit.aws.fakes import FakeSession

STACK = "data-lake-ingestion"
GIVEN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mine-a1b2c3"
Run = Callable[..., list[str]]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return FakeSession()


@pytest.fixture
def run(session: FakeSession) -> Run:
    """Destroy the stack; the question and the lines that were reported."""

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


def test_bucket_and_secret_stay_and_the_next_deployment_takes_them_over(session: FakeSession, run: Run) -> None:
    deleting(session, {}, answers.OUTPUTS)
    idle(session)
    lines = run(delete_data=False)
    assert lines[0] == f"Delete the stack {STACK} and keep the bucket lake, the secret arn:aws:secret?"
    assert lines[-1].endswith(f"the next deploy of {STACK} takes them over again")


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


def test_nothing_is_destroyed_while_an_execution_runs(session: FakeSession, run: Run) -> None:
    answers.script(session, answers.stack_is("CREATE_COMPLETE"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    running = {"executionArn": "e", "stateMachineArn": "m", "name": "march", "status": "RUNNING", "startDate": now}
    session.script("stepfunctions").add_response("list_executions", {"executions": [running]})
    with pytest.raises(UsageError, match="execution march is running: wait for its end"):
        run(delete_data=False)
