from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dagster._core.test_utils import create_run_for_test

from ingest_assets.resources.attempts import execution_name
from tests.unit.dagster.fakes import NORMAL, FakeAws, FakeExecution, nothing
from tests.unit.dagster.harness import Dagster, value

RETRY = {"dagster/retry_number": "1"}

Leave = Callable[[str, dict[str, str]], str]


@pytest.fixture
def left_behind(aws: FakeAws, dagster: Dagster, monkeypatch: pytest.MonkeyPatch) -> Leave:
    """Leaves an execution of 2024-02 by a run that died, and makes the next run one that repeats that run."""
    parent = create_run_for_test(dagster.instance)
    create = dagster.instance.create_run_for_job
    name = execution_name(parent.run_id, "mockrecord", ["2024-02"], 1)

    def leave(status: str, tags: dict[str, str]) -> str:
        def create_repeating(**arguments: Any) -> Any:
            ids = {"parent_run_id": parent.run_id, "root_run_id": parent.run_id}
            return create(**{**arguments, **ids, "tags": {**arguments["tags"], **tags}})

        monkeypatch.setattr(dagster.instance, "create_run_for_job", create_repeating)
        aws.step_functions.executions[name] = FakeExecution(status, events=[*NORMAL])
        return name

    return leave


def test_an_automatic_retry_goes_on_with_the_running_execution(
    aws: FakeAws, dagster: Dagster, left_behind: Callable[..., str]
) -> None:
    name = left_behind("SUCCEEDED", RETRY)
    aws.step_functions.executions[name].answers = [nothing, lambda: aws.s3.commit("2024-02", name)]
    assert dagster.materialize("2024-02").success
    assert aws.step_functions.started == []
    assert f"Going on with execution {name}, which is RUNNING" in "\n".join(dagster.log())
    assert value(dagster.months()["2024-02"], "execution_name") == name


def test_an_automatic_retry_takes_over_a_finished_execution(
    aws: FakeAws, dagster: Dagster, left_behind: Callable[..., str]
) -> None:
    name = left_behind("SUCCEEDED", RETRY)
    aws.s3.commit("2024-02", name)
    assert dagster.materialize("2024-02").success
    assert aws.step_functions.started == []


def test_an_automatic_retry_gives_a_failed_execution_a_new_attempt(
    aws: FakeAws, dagster: Dagster, left_behind: Callable[..., str]
) -> None:
    name = left_behind("FAILED", RETRY)
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    assert [started["name"] for started in aws.step_functions.started] == [f"{name.removesuffix('-1')}-2"]


def test_a_re_execution_by_hand_ingests_anew(aws: FakeAws, dagster: Dagster, left_behind: Leave) -> None:
    name = left_behind("SUCCEEDED", {})
    aws.s3.commit("2024-02", name)
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    assert len(aws.step_functions.started) == 1
    assert aws.step_functions.started[0]["name"] != name
