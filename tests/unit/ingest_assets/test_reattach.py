from __future__ import annotations

import re
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ingest_assets.workflow.reattach import choose, execution_name, first_run_id
from tests.unit.ingest_assets.fakes import MACHINE, FakeExecution, FakeStepFunctions

RUN = "1f2e3d4c-0000-4000-8000-000000000000"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def retry_of(instance: dg.DagsterInstance, parent: dg.DagsterRun, tags: dict[str, str]) -> dg.DagsterRun:
    root = parent.root_run_id or parent.run_id
    run: dg.DagsterRun = create_run_for_test(instance, parent_run_id=parent.run_id, root_run_id=root, tags=tags)
    return run


def test_a_name_holds_table_months_run_and_attempt() -> None:
    assert re.fullmatch(r"orders-2024-02-1f2e3d4c-[0-9a-f]{8}-1", execution_name(RUN, "orders", ["2024-02"], 1))
    name = execution_name(RUN, "orders", ["2024-03", "2024-02"], 2)
    assert re.fullmatch(r"orders-2024-02-to-2024-03-1f2e3d4c-[0-9a-f]{8}-2", name)


def test_a_name_is_the_same_for_the_same_and_another_for_anything_else() -> None:
    base = execution_name(RUN, "orders", ["2024-01", "2024-03"], 1)
    assert base == execution_name(RUN, "orders", ["2024-03", "2024-01"], 1)
    others = {
        execution_name(RUN.replace("0000", "0001"), "orders", ["2024-01", "2024-03"], 1),
        execution_name(RUN, "orders2", ["2024-01", "2024-03"], 1),
        execution_name(RUN, "orders", ["2024-01", "2024-02", "2024-03"], 1),
        execution_name(RUN, "orders", ["2024-01", "2024-03"], 2),
    }
    assert len(others | {base}) == 5


def test_a_name_is_one_that_step_functions_and_emr_serverless_take() -> None:
    name = execution_name(RUN, "x" * 63, ["2024-01", "2024-12"], 99)
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,63}", name)
    assert name != execution_name(RUN, "x" * 62, ["2024-01", "2024-12"], 99)


def test_a_run_by_hand_is_its_own_beginning(instance: dg.DagsterInstance) -> None:
    run = create_run_for_test(instance)
    again = retry_of(instance, run, {})
    assert first_run_id(instance, run) == run.run_id
    assert first_run_id(instance, again) == again.run_id


def test_an_automatic_retry_goes_on_from_the_run_that_began_it(instance: dg.DagsterInstance) -> None:
    by_hand = retry_of(instance, create_run_for_test(instance), {})
    first = retry_of(instance, by_hand, {"dagster/retry_number": "1"})
    second = retry_of(instance, first, {"dagster/retry_number": "2"})
    assert first_run_id(instance, second) == by_hand.run_id


def test_a_retry_of_a_deleted_run_goes_on_from_it_all_the_same(instance: dg.DagsterInstance) -> None:
    run = create_run_for_test(instance)
    retry = retry_of(instance, run, {"dagster/retry_number": "1"})
    instance.delete_run(run.run_id)
    assert first_run_id(instance, retry) == run.run_id


@pytest.mark.parametrize(
    ("statuses", "chosen", "found"),
    [
        ([], "n1", None),
        (["RUNNING"], "n1", "RUNNING"),
        (["SUCCEEDED"], "n1", "SUCCEEDED"),
        (["FAILED"], "n2", None),
        (["FAILED", "ABORTED", "TIMED_OUT", "RUNNING"], "n4", "RUNNING"),
    ],
)
def test_the_first_attempt_that_has_not_failed_is_chosen(statuses: list[str], chosen: str, found: str | None) -> None:
    client = FakeStepFunctions(
        executions={f"n{number}": FakeExecution(status=status) for number, status in enumerate(statuses, 1)}
    )
    attempt = choose(client, MACHINE, lambda number: f"n{number}")  # type: ignore[arg-type]  # a fake
    assert (attempt.name, attempt.found and attempt.found.status) == (chosen, found)
    assert attempt.arn == f"{MACHINE.replace(':stateMachine:', ':execution:')}:{chosen}"
