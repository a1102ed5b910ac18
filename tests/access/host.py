"""What a Dagster host does, with every call recorded: `python -m tests.access.host` in the environment of the account.

A month that is ingested, one whose job fails, one that is terminated, and a tick of the schedule and of each sensor
that calls AWS.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg

from ingest_assets.aws.messages import DAGSTER, Notification
from ingest_assets.aws.schedule_expression import SCHEDULE_TIMEZONE
from ingest_assets.definitions import build_definitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.queue import Notifications
from ingest_assets.resources.topic import Alerts
from ingest_assets.schedules import NAME as SCHEDULE
from ingest_assets.sensors.execution_queue import QUEUE
from ingest_assets.sensors.run_failures import NAME as ALERTS
from tests.access import recorder

_TICK = datetime(2026, 3, 15, 2, tzinfo=ZoneInfo(SCHEDULE_TIMEZONE))
_START_SECONDS = 90.0


def main() -> None:
    """Do all of it once."""
    recorder.install()
    definitions = build_definitions()
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        assert _materialize(instance, "2024-02").success
        with _without_date_column():
            assert not _materialize(instance, "2024-02").success
        with _interrupt_when_the_job_runs():
            assert not _materialize(instance, "2023-01", "2024-12").success
        _tick_schedule(definitions, instance)
        _postpone_a_message()
        _tick_queue(definitions, instance)
    # The sensor publishes by this one call; tests/unit/ingest_assets/test_run_failures.py tests what it publishes.
    Alerts(account=AwsAccount()).publish(
        subject=ALERTS, sentence="A run failed.", notification=Notification("FAILED", "", {}, source=DAGSTER)
    )


def _materialize(instance: dg.DagsterInstance, first: str, last: str | None = None) -> dg.ExecuteInProcessResult:
    asset = build_definitions().resolve_assets_def(dg.AssetKey(["raw_layer", "mockrecord"]))
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
    return dg.materialize([asset], instance=instance, tags=tags, raise_on_error=False)


@contextmanager
def _without_date_column() -> Iterator[None]:
    with psycopg.connect(os.environ["SOURCE_DSN"], autocommit=True) as source:
        source.execute("ALTER TABLE public.mockrecord RENAME start_date_time TO elsewhere")
        yield
        source.execute("ALTER TABLE public.mockrecord RENAME elsewhere TO start_date_time")


@contextmanager
def _interrupt_when_the_job_runs() -> Iterator[None]:
    """Ctrl-C while the next job runs. The record says when: no call of AWS is made for it."""
    record = Path(os.environ[recorder.FILE])
    begun = record.read_text().count('"StartJobRun"')

    def interrupt() -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            started = record.read_text().split('"StartJobRun"')
            if len(started) > begun + 1 and '"GetSecretValue"' in started[-1]:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.1)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    yield
    watcher.join()


def _tick_schedule(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    schedule = definitions.resolve_schedule_def(f"{SCHEDULE}_mockrecord")
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=_TICK, resources={"account": AwsAccount()}
    ) as context:
        schedule.evaluate_tick(context)


def _postpone_a_message() -> None:
    """As the sensor does with one whose execution still runs. The others stay for its tick."""
    notifications = Notifications(account=AwsAccount(), visibility_seconds=0)
    received = list(notifications.receive(seconds=10, limit=1))
    assert received
    notifications.postpone(received[:1])


def _tick_queue(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    resources = {name: definitions.resources[name] for name in ("raw_layer", "notifications")}  # type: ignore[index]
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(instance=instance, resources=resources, repository_def=repository) as context:
        definitions.resolve_sensor_def(QUEUE)(context)


if __name__ == "__main__":
    main()
