from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ingest_assets.checks.specs import CHECKS
from ingest_assets.workflow.reattach import execution_name
from tests.unit.ingest_assets.fakes import NORMAL, FakeAws, FakeExecution, nothing
from tests.unit.ingest_assets.harness import KEY, Dagster, value

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
    assert f"Re-attached to execution {name}, which is RUNNING" in "\n".join(dagster.log())
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


def test_a_re_execution_by_hand_ingests_again(aws: FakeAws, dagster: Dagster, left_behind: Leave) -> None:
    name = left_behind("SUCCEEDED", {})
    aws.s3.commit("2024-02", name)
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    assert len(aws.step_functions.started) == 1
    assert aws.step_functions.started[0]["name"] != name


def test_an_automatic_retry_records_the_months_that_the_run_before_it_had_not_recorded_when_it_died(
    aws: FakeAws, dagster: Dagster, left_behind: Leave
) -> None:
    name = left_behind("SUCCEEDED", RETRY)
    aws.s3.commit("2024-02", name)
    recorded = dg.AssetMaterialization(KEY, partition="2024-02", metadata={"execution_name": name})
    dagster.instance.report_runless_asset_event(recorded)
    assert dagster.materialize("2024-02").success
    [event] = dagster.instance.fetch_materializations(KEY, limit=10).records
    assert event.run_id != dagster.run_id
    evaluated = dagster.instance.all_logs(dagster.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    assert len(evaluated) == len(CHECKS) + 3  # one of the source, and up_to_date, also for the month that plans it


def test_a_step_whose_run_was_given_up_leaves_the_execution_to_the_retry(aws: FakeAws, dagster: Dagster) -> None:
    def give_up() -> None:
        dagster.instance.report_run_failed(the_run(dagster))

    aws.step_functions.next.answers = [nothing, give_up, aws.commits("2024-02")]
    assert not dagster.materialize("2024-02").success
    assert "Dagster has ended this run as FAILURE" in dagster.failure_text()
    assert dagster.months() == {}
    assert aws.step_functions.stopped == []


def test_a_step_whose_run_was_marked_as_canceled_stops_the_execution(aws: FakeAws, dagster: Dagster) -> None:
    def force() -> None:
        dagster.instance.report_run_canceled(the_run(dagster))

    aws.step_functions.next.answers = [nothing, force]
    assert not dagster.materialize("2024-02").success
    assert dagster.months() == {}
    assert len(aws.step_functions.stopped) == 1


def the_run(dagster: Dagster) -> dg.DagsterRun:
    [run] = dagster.instance.get_runs()
    return run
