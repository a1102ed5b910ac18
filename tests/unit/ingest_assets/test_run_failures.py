from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from aws_setup.cloudformation import template
from ingest_assets.aws.errors import AwsError
from ingest_assets.aws.messages import DAGSTER, Notification, parse
from ingest_assets.definitions import build_definitions
from ingest_assets.metadata import EXECUTION_TAG
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.topic import Alerts
from ingest_assets.sensors.run_failures import alert_sensor
from tests.unit.ingest_assets.conftest import OUTPUTS
from tests.unit.ingest_assets.fakes import FakeAws, client_error
from tests.unit.ingest_assets.harness import KEY, ranged

NOTHING = "no run has failed without an execution since"


@dataclass
class FakeSns:
    """Keeps what is published; `answers` are those of the next calls."""

    published: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Exception | None] = field(default_factory=list)

    def publish(self, **message: str) -> None:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.published.append({**message, "Message": json.loads(message["Message"])})

    @property
    def runs(self) -> list[str]:
        """The runs that were told of."""
        return [json.loads(one["Message"]["sqs"])["input"]["requested_by"] for one in self.published]


@dataclass
class Daemon:
    """Dagster's daemon as far as the sensor goes: it keeps the cursor of a tick, unless that fails."""

    instance: dg.DagsterInstance
    cursor: str | None = None

    def tick(self) -> str:
        resources = {"alerts": Alerts(account=AwsAccount())}
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            result = alert_sensor().evaluate_tick(context)
        self.cursor = result.cursor
        return result.skip_message or ""

    def fails(self, message: str | None = "worker gone", *, retries: int = 0, **run: Any) -> str:
        """A run that fails, and that Dagster will retry so many times; its id."""
        run["tags"] = {"dagster/max_retries": str(retries), **run.get("tags", {})}
        failed: dg.DagsterRun = create_run_for_test(self.instance, status=dg.DagsterRunStatus.STARTED, **run)
        self.instance.report_run_failed(failed, message)
        return failed.run_id

    def retry_fails(self, run_id: str, **tags: str) -> str:
        """The automatic retry of a run, which fails as well and is the last; its id."""
        retry: dg.DagsterRun = create_run_for_test(
            self.instance,
            status=dg.DagsterRunStatus.STARTED,
            parent_run_id=run_id,
            root_run_id=run_id,
            tags={"dagster/retry_number": "1", "dagster/max_retries": "0", **tags},
        )
        self.instance.add_run_tags(run_id, {"dagster/auto_retry_run_id": retry.run_id})
        self.instance.report_run_failed(retry, "worker gone again")
        return retry.run_id


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> FakeSns:
    fake = FakeSns()
    monkeypatch.setattr(AwsAccount, "outputs", lambda _: OUTPUTS)
    monkeypatch.setattr(AwsAccount, "sns", lambda _: fake)
    return fake


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Behind its first tick."""
    retries = {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False}
    with dg.DagsterInstance.ephemeral(settings={"run_retries": retries}) as instance:
        daemon = Daemon(instance)
        daemon.tick()
        yield daemon


def elsewhere() -> RemoteJobOrigin:
    """A job of another code location."""
    target = LoadableTargetOrigin(module_name="elsewhere")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(loadable_target_origin=target, location_name="elsewhere")
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "__ASSET_JOB")


def test_a_run_that_failed_before_its_execution_is_published(aws: FakeAws, sns: FakeSns, daemon: Daemon) -> None:
    aws.s3.objects.clear()
    job = build_definitions().get_repository_def().get_job("__ASSET_JOB")
    run = job.execute_in_process(
        instance=daemon.instance, asset_selection=[KEY], tags=ranged("2024-01", "2024-03"), raise_on_error=False
    )
    assert daemon.tick() == f"published run {run.run_id}"
    [alert] = sns.published
    reason = "no tables are deployed: run `python -m aws_setup deploy`"
    assert alert["TopicArn"] == OUTPUTS.failure_topic_arn
    assert alert["Subject"] == f"Dagster run {run.run_id[:8]} failed: raw_layer/mockrecord 2024-01 to 2024-03"
    assert alert["MessageStructure"] == "json"
    assert alert["Message"]["default"] == alert["Message"]["email"]
    assert alert["Message"]["email"] == (
        f"The Dagster run {run.run_id} of raw_layer/mockrecord 2024-01 to 2024-03 failed and started no execution. "
        f"Fix the cause, then re-execute the run in Dagster. Reason: {reason}"
    )
    assert json.loads(alert["Message"]["sqs"]) == {
        "version": 1,
        "status": "FAILED",
        "execution_arn": None,
        "execution_name": None,
        "input": {"table": "mockrecord", "months": ["2024-01", "2024-02", "2024-03"], "requested_by": run.run_id},
        "application_id": None,
        "job_run_id": None,
        "error": "Failure",
        "cause": reason,
        "cleanup_error": None,
        "source": "dagster",
    }


def test_the_alert_is_one_that_the_queue_sensor_takes_for_dagsters(sns: FakeSns, daemon: Daemon) -> None:
    run_id = daemon.fails()
    daemon.tick()
    notification = parse(sns.published[0]["Message"]["sqs"])
    assert (notification.source, notification.status, notification.requested_by) == (DAGSTER, "FAILED", run_id)


def test_the_alert_has_the_keys_of_the_state_machines_message(sns: FakeSns, daemon: Daemon) -> None:
    daemon.fails()
    daemon.tick()
    message = template.state_machine()["States"]["Describe failure"]["Parameters"]["message"]
    assert list(json.loads(sns.published[0]["Message"]["sqs"])) == [key.removesuffix(".$") for key in message]


def test_failures_before_the_first_tick_are_history(sns: FakeSns, daemon: Daemon) -> None:
    daemon.cursor = None
    daemon.fails()
    assert daemon.tick() == "publishes the runs that fail from now on"
    assert daemon.tick() == NOTHING
    later = daemon.fails()
    daemon.tick()
    assert sns.runs == [later]


def test_a_failed_run_is_published_once(sns: FakeSns, daemon: Daemon) -> None:
    runs = [daemon.fails(), daemon.fails()]
    assert daemon.tick() == f"published run {runs[0]}, run {runs[1]}"
    daemon.tick()
    assert sns.runs == runs


@pytest.mark.parametrize("message", ["worker gone", None])
def test_a_run_without_a_failed_step_is_published_with_dagsters_reason(
    message: str | None, sns: FakeSns, daemon: Daemon
) -> None:
    run_id = daemon.fails(message)
    daemon.tick()
    told = json.loads(sns.published[0]["Message"]["sqs"])
    assert told["error"] == "RunFailure"
    assert told["cause"] == (message or "This run has been marked as failed from outside the execution context.")
    assert run_id in sns.published[0]["Message"]["email"]


def test_an_error_is_published_with_its_first_cause(sns: FakeSns, daemon: Daemon) -> None:
    @dg.op
    def divide() -> None:
        raise ValueError("é" * 5000)

    @dg.job(name="others_job")
    def others() -> None:
        divide()

    run_id = others.execute_in_process(instance=daemon.instance, raise_on_error=False).run_id
    daemon.tick()
    told = json.loads(sns.published[0]["Message"]["sqs"])
    assert told["input"] == {"requested_by": run_id}
    assert told["error"] == "ValueError"
    assert told["cause"] == f"ValueError: {'é' * 1988}…"
    assert sns.published[0]["Subject"] == f"Dagster run {run_id[:8]} failed: others_job"


@pytest.mark.parametrize(
    ("run", "subject", "request_of_run"),
    [
        (
            {"asset_selection": frozenset([KEY]), "tags": {"dagster/partition": "2024-02"}},
            "raw_layer/mockrecord 2024-02",
            {"table": "mockrecord", "months": ["2024-02"]},
        ),
        (
            {"asset_selection": frozenset([KEY]), "tags": ranged("2023-11", "2024-02")},
            "raw_layer/mockrecord 2023-11 to 2024-02",
            {"table": "mockrecord", "months": ["2023-11", "2023-12", "2024-01", "2024-02"]},
        ),
        (
            {"asset_selection": frozenset(dg.AssetKey(["raw_layer", name]) for name in "abcde")},
            "raw_layer/a, raw_layer/b, raw_layer/c and 2 more",
            {},
        ),
        (
            {"asset_selection": frozenset([dg.AssetKey("daily")]), "tags": ranged("2024-02-01", "2024-02-03")},
            "daily 2024-02-01 to 2024-02-03",
            {},
        ),
        (
            {"asset_selection": frozenset(), "asset_check_selection": frozenset([dg.AssetCheckKey(KEY, "fresh")])},
            "raw_layer/mockrecord:fresh",
            {},
        ),
        (
            {"job_name": "ingest_mockrecord", "tags": {"dagster/partition": "2024-02"}},
            "ingest_mockrecord 2024-02",
            {"table": "mockrecord", "months": ["2024-02"]},
        ),
        ({"job_name": "refresh_mockrecord"}, "refresh_mockrecord", {"refresh": True, "table": "mockrecord"}),
        ({"job_name": "nightly"}, "nightly", {}),
        ({"job_name": "n" * 200}, "n" * 70, {}),
    ],
)
def test_the_alert_says_what_the_run_was_to_do(
    run: dict[str, Any], subject: str, request_of_run: dict[str, Any], sns: FakeSns, daemon: Daemon
) -> None:
    run_id = daemon.fails(**run)
    daemon.tick()
    assert sns.published[0]["Subject"] == f"Dagster run {run_id[:8]} failed: {subject}"
    assert len(sns.published[0]["Subject"]) < 100
    assert json.loads(sns.published[0]["Message"]["sqs"])["input"] == {**request_of_run, "requested_by": run_id}


def test_a_run_with_an_execution_is_left_to_the_state_machine(sns: FakeSns, daemon: Daemon) -> None:
    daemon.fails(tags={EXECUTION_TAG: "n1"})
    assert daemon.tick() == NOTHING
    assert sns.published == []


def test_a_reexecution_by_hand_that_started_no_execution_is_published(sns: FakeSns, daemon: Daemon) -> None:
    parent = daemon.fails(tags={EXECUTION_TAG: "n1"})
    inherits = daemon.fails(tags={EXECUTION_TAG: "n1"}, parent_run_id=parent, root_run_id=parent)
    daemon.fails(tags={EXECUTION_TAG: "n2"}, parent_run_id=parent, root_run_id=parent)
    daemon.tick()
    assert sns.runs == [inherits]


def test_a_run_of_another_code_location_is_left_to_that(sns: FakeSns, daemon: Daemon) -> None:
    daemon.fails(remote_job_origin=elsewhere())
    own = daemon.fails()
    daemon.tick()
    assert sns.runs == [own]


def test_only_the_last_retry_of_a_run_is_published(sns: FakeSns, daemon: Daemon) -> None:
    first = daemon.fails(retries=1)
    assert daemon.tick() == NOTHING
    last = daemon.retry_fails(first)
    assert daemon.tick() == f"published run {last}"
    assert sns.runs == [last]


def test_a_retry_that_went_on_with_an_execution_is_left_to_the_state_machine(sns: FakeSns, daemon: Daemon) -> None:
    first = daemon.fails(retries=1, tags={EXECUTION_TAG: "n1"})
    daemon.retry_fails(first, **{EXECUTION_TAG: "n1"})
    assert daemon.tick() == NOTHING
    assert sns.published == []


def test_a_failure_is_not_published_before_dagster_has_decided_on_a_retry(
    sns: FakeSns, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as undecided:
        undecided.setattr(dg.DagsterInstance, "add_run_tags", lambda *_: None)
        first = daemon.fails()
    second = daemon.fails()
    assert daemon.tick() == NOTHING
    daemon.instance.add_run_tags(first, {"dagster/will_retry": "false"})
    daemon.tick()
    assert sns.runs == [first, second]


def test_a_run_whose_retry_never_starts_is_published(
    sns: FakeSns, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = daemon.fails(retries=1)
    daemon.tick()
    assert sns.runs == []
    monkeypatch.setattr("ingest_assets.sensors.run_failures._RETRY_SECONDS", 0.0)
    daemon.tick()
    assert sns.runs == [run_id]


def test_without_automatic_retries_a_failure_is_published_at_once(sns: FakeSns) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        daemon = Daemon(instance)
        daemon.tick()
        run_id = daemon.fails(retries=1)
        daemon.tick()
    assert sns.runs == [run_id]


def test_an_alert_that_could_not_be_sent_is_sent_by_the_next_tick(sns: FakeSns, daemon: Daemon) -> None:
    run_id = daemon.fails()
    sns.answers = [client_error("AuthorizationError", "not allowed")]
    with pytest.raises(AwsError, match=f"publishing to {OUTPUTS.failure_topic_arn}: .*not allowed"):
        daemon.tick()
    daemon.tick()
    assert sns.runs == [run_id]


def test_alerts_that_were_sent_are_not_sent_again_when_the_next_one_cannot_be(sns: FakeSns, daemon: Daemon) -> None:
    runs = [daemon.fails() for _ in range(3)]
    sns.answers = [None, client_error("Throttling")]
    assert daemon.tick() == f"published run {runs[0]}"
    daemon.tick()
    assert sns.runs == runs


def test_a_tick_is_bounded_and_the_next_ones_do_the_rest(
    sns: FakeSns, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_assets.sensors.run_failures._MOST_FAILURES", 2)
    runs = [daemon.fails() for _ in range(3)]
    daemon.tick()
    assert sns.runs == runs[:2]
    daemon.tick()
    assert sns.runs == runs


def test_the_topic_can_be_named(sns: FakeSns) -> None:
    Alerts(account=AwsAccount(), topic_arn="arn:other").publish(
        subject="s", sentence="t", notification=Notification("FAILED", "", {}, source=DAGSTER)
    )
    assert sns.published[0]["TopicArn"] == "arn:other"
