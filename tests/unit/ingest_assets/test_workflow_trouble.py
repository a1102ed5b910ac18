from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from botocore.exceptions import EndpointConnectionError
from dagster_aws.s3 import S3Resource

from ingest_assets._compat import RunTerminatedError
from ingest_assets.assets import raw_layer_asset
from ingest_assets.aws.stack import StackError
from ingest_assets.checks.specs import CHECKS
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.tables import load_tables
from ingest_assets.workflow.resource import IngestionWorkflow
from spark_scripts.contract import layout
from tests.unit.ingest_assets.fakes import APPLICATION, JOB, FakeAws, client_error, nothing
from tests.unit.ingest_assets.harness import Dagster


def interrupt() -> None:
    raise RunTerminatedError


def test_a_terminated_run_stops_execution_job_run_and_application(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [nothing, interrupt]
    assert not dagster.materialize("2024-02").success
    assert dagster.interrupted()
    [stopped] = aws.step_functions.stopped
    assert stopped["executionArn"].endswith(aws.step_functions.started[0]["name"])
    assert stopped["cause"].startswith("Dagster run ")
    assert aws.emr_serverless.calls == [f"cancel {JOB}", f"stop {APPLICATION}", f"delete {APPLICATION}"]


def test_the_months_of_a_terminated_run_are_checked_as_they_are(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-02", "n0", undated_rows=0)
    aws.step_functions.next.answers = [aws.commits("2024-01"), interrupt]
    assert not dagster.materialize("2024-01", "2024-03").success
    assert list(dagster.months()) == ["2024-01"]
    assert dagster.checks("2024-01") == dict.fromkeys(CHECKS, True)
    assert dagster.checks("2024-02") == dagster.checks("2024-03") == dict.fromkeys(CHECKS, True)


def test_the_months_of_a_run_that_was_refused_are_checked_as_they_are(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-02", "n0", undated_rows=0)
    del aws.s3.objects[layout.TABLES_KEY]
    assert not dagster.materialize("2024-02").success
    assert "no tables are deployed" in dagster.failure_text()
    assert dagster.checks("2024-02") == dict.fromkeys(CHECKS, True)


def test_a_run_terminated_while_it_starts_stops_what_was_started(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.on_start = interrupt
    assert not dagster.materialize("2024-02").success
    assert dagster.interrupted()
    assert len(aws.step_functions.stopped) == 1


def test_what_cannot_be_stopped_is_logged_and_the_run_ends_nevertheless(
    aws: FakeAws, dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.step_functions.next.answers = [interrupt]

    def refuse(**_: str) -> None:
        raise client_error("AccessDeniedException", "no right to cancel")

    monkeypatch.setattr(aws.emr_serverless, "cancel_job_run", refuse)
    assert not dagster.materialize("2024-02").success
    assert dagster.interrupted()
    assert any(
        "Could not stop every part of execution" in line and "no right to cancel" in line for line in dagster.log()
    )


def test_an_execution_past_its_deadline_is_terminated(aws: FakeAws, dagster: Dagster, monkeypatch: Any) -> None:
    monkeypatch.setattr("ingest_assets.workflow.execution_run._GLANCE_SECONDS", 0.0)
    aws.step_functions.next.answers = [nothing] * 10_000
    assert not dagster.materialize("2024-02", deadline_minutes=0.001).success
    assert "was terminated because it ran for more than 0.001 minutes" in dagster.failure_text()
    assert len(aws.step_functions.stopped) == 1
    assert aws.emr_serverless.job == "CANCELLED"


def away() -> None:
    raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def throttled() -> None:
    raise client_error("ThrottlingException", "Rate exceeded")


@pytest.mark.parametrize("trouble", [away, throttled])
def test_a_run_waits_until_a_short_outage_of_aws_is_over(
    aws: FakeAws, dagster: Dagster, trouble: Callable[[], None]
) -> None:
    aws.step_functions.next.answers = [nothing, trouble, trouble, aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success


def test_a_run_waits_for_an_execution_that_aws_does_not_know_yet(aws: FakeAws, dagster: Dagster) -> None:
    def unknown() -> None:
        raise client_error("ExecutionDoesNotExist")

    aws.step_functions.next.answers = [unknown, aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success


def test_a_long_outage_of_aws_is_one_clear_failure(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [away]
    assert not dagster.materialize("2024-02", outage_minutes=0).success
    text = dagster.failure_text()
    assert text.startswith("following execution mockrecord-2024-02-")
    assert "cannot reach http://127.0.0.1:1" in text
    assert "start Dagster in the local account with `make dev`" in text


def test_a_failure_has_no_traceback_of_botocore(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [away]
    dagster.materialize("2024-02", outage_minutes=0)
    error = dagster.failed_step().error
    assert error
    assert "botocore" not in error.to_string()


def test_a_missing_stack_is_one_clear_failure(aws: FakeAws, dagster: Dagster, monkeypatch: Any) -> None:
    def missing(_: AwsAccount) -> None:
        raise StackError("no stack named mine: run `python -m aws_setup deploy`, or set INGEST_STACK")

    monkeypatch.setattr(AwsAccount, "outputs", missing)
    assert not dagster.materialize("2024-02").success
    assert dagster.failure_text() == "no stack named mine: run `python -m aws_setup deploy`, or set INGEST_STACK"


def test_names_given_by_hand_need_no_stack(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AwsAccount, "outputs", lambda _: pytest.fail("the stack was asked"))
    account = AwsAccount()
    raw_layer = RawLayerResource(account=account, s3=S3Resource(), bucket="lake")
    machine = "arn:aws:states:eu-west-1:1:stateMachine:mine"
    workflow = IngestionWorkflow(
        account=account, raw_layer=raw_layer, state_machine_arn=machine, application_id="00kept", poll_seconds=0.001
    )
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    asset = raw_layer_asset(table=load_tables()[0])
    assert dg.materialize([asset], partition_key="2024-02", resources={"workflow": workflow}).success
    assert aws.step_functions.started[0]["stateMachineArn"] == machine


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (None, "no tables are deployed: run `python -m aws_setup deploy`"),
        (b'{"version": 1, "tables": []}', r"(mockrecord, orders): on AWS run `python -m aws_setup deploy`"),
        (b"{}", "config/tables.json is damaged"),
    ],
)
def test_tables_that_are_not_deployed_start_nothing(
    aws: FakeAws, dagster: Dagster, document: bytes | None, text: str
) -> None:
    aws.s3.objects = {} if document is None else {layout.TABLES_KEY: document}
    assert not dagster.materialize("2024-02").success
    assert text in dagster.failure_text()
    assert aws.step_functions.started == []
