"""The sensor on a queue of the local account, with an event log in SQLite: messages that come twice, in disorder.

moto looks at every message of a queue for each that it gives, so that thousands are a test of their own, with a queue
in memory: tests/unit/ingest_assets/test_sensor.py.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.assets import raw_layer_asset
from ingest_assets.checks.specs import CHECKS
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.queue import Notifications
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.sensors.execution_queue import queue_sensor
from ingest_assets.tables import TableSpec
from ingest_assets.workflow.resource import IngestionWorkflow
from spark_scripts.contract import layout
from spark_scripts.contract.months import Month
from tests.unit.ingest_assets.fakes import manifest, notification, status_change

MESSAGES = 200
EXECUTIONS = 20
MONTHS = [str(Month(2023, 1).plus(number)) for number in range(24)]
TABLE = TableSpec(name="queued", table="public.queued", date_column="at", first_month="2023-01")
ASSET = raw_layer_key(TABLE.name)


class Ticks:
    """The sensor's ticks, as the daemon makes them."""

    def __init__(self, instance: dg.DagsterInstance, queue_url: str) -> None:
        account = AwsAccount()
        self._instance = instance
        self._notifications = Notifications(account=account, queue_url=queue_url, visibility_seconds=10)
        self._raw_layer = RawLayerResource(account=account, s3=S3Resource())
        self._sensor = queue_sensor(tables=[TABLE])
        workflow = IngestionWorkflow(account=account, raw_layer=self._raw_layer)
        definitions = dg.Definitions([raw_layer_asset(table=TABLE)], resources={"workflow": workflow})
        self._repository = definitions.get_repository_def()
        self.told: list[str] = []

    def tick(self) -> None:
        resources = {"raw_layer": self._raw_layer, "notifications": self._notifications}
        with dg.build_sensor_context(
            instance=self._instance, resources=resources, repository_def=self._repository
        ) as context:
            result = self._sensor(context)
        assert isinstance(result, dg.SensorResult)
        assert result.skip_reason
        self.told.append(result.skip_reason.skip_message or "")
        print(f"tick {len(self.told)}: {self.told[-1]}")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


@pytest.fixture
def queue_url(session: boto3.session.Session) -> Iterator[str]:
    client = session.client("sqs")
    url = client.create_queue(QueueName="many")["QueueUrl"]
    yield url
    client.delete_queue(QueueUrl=url)


@pytest.fixture
def executions(bucket: Path) -> dict[str, str]:
    """Executions by name, with the month that each ingested: their manifests are in the bucket."""
    months = {f"e{number}": MONTHS[number % len(MONTHS)] for number in range(EXECUTIONS)}
    for name, month in months.items():
        document = replace(manifest(month, name, table=TABLE.name), files=(), bytes=0).to_json()
        for key in (
            layout.execution_manifest_key(name, TABLE.name, Month.parse(month)),
            layout.current_manifest_key(TABLE.name, Month.parse(month)),
        ):
            (bucket / key).parent.mkdir(parents=True, exist_ok=True)
            (bucket / key).write_text(document, encoding="utf-8")
    return months


def messages(executions: dict[str, str]) -> list[str]:
    """By topic, direct and by EventBridge, each many times, in disorder; and poison."""
    bodies = []
    for name, month in executions.items():
        request = {"table": TABLE.name, "months": [month]}
        direct: dict[str, Any] = {**notification("SUCCEEDED", name), "input": request}
        event = status_change("SUCCEEDED", name)
        event["detail"]["input"] = json.dumps(request)
        forms = [direct, {"TopicArn": "arn:aws:sns:x:1:success", "Message": json.dumps(direct)}, event]
        bodies += [json.dumps(form) for form in forms]
    bodies = (bodies * (MESSAGES // len(bodies) + 1))[: MESSAGES - 1]
    random.Random(4).shuffle(bodies)  # noqa: S311
    return ["poison", *bodies]


def send(session: boto3.session.Session, queue_url: str, bodies: list[str]) -> None:
    client = session.client("sqs")
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[start : start + 10])]
        client.send_message_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]  # a TypedDict


def depth(session: boto3.session.Session, queue_url: str) -> tuple[int, int]:
    """The messages that can be received, and those that were and may come back."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found: Any = session.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)  # type: ignore[arg-type]
    visible, hidden = (int(found["Attributes"][name]) for name in names)
    return visible, hidden


def recorded(instance: dg.DagsterInstance) -> Counter[tuple[str, str, str]]:
    """How often each (kind, month, execution) is in the event log."""
    found: Counter[tuple[str, str, str]] = Counter()
    for record in instance.fetch_materializations(ASSET, limit=10_000).records:
        event = record.asset_materialization
        assert event
        found["materialization", event.partition or "", str(event.metadata["execution_name"].value)] += 1
    for check in CHECKS:
        key = dg.AssetCheckKey(ASSET, check)
        for each in instance.event_log_storage.get_asset_check_execution_history(key, limit=10_000):
            done = each.evaluation
            assert isinstance(done, dg.AssetCheckEvaluation)
            found[check, done.partition or "", str(done.metadata["execution_name"].value)] += 1
    return found


def test_executions_are_recorded_once_whatever_comes_twice_or_in_disorder(
    session: boto3.session.Session, instance: dg.DagsterInstance, queue_url: str, executions: dict[str, str]
) -> None:
    send(session, queue_url, messages(executions))
    assert depth(session, queue_url) == (MESSAGES, 0)
    ticks = Ticks(instance, queue_url)
    while sum(depth(session, queue_url)) > 1:  # the poison stays
        ticks.tick()
        while depth(session, queue_url)[0] == 0:
            time.sleep(0.2)
        assert len(ticks.told) < 20
    kinds = ("materialization", *CHECKS)
    assert recorded(instance) == Counter((kind, month, name) for name, month in executions.items() for kind in kinds)
    assert any("left for the dead-letter queue: " in told and " is not JSON" in told for told in ticks.told)
