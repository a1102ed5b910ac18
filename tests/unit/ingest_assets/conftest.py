from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster_aws.s3 import S3Resource

from ingest_assets.aws.stack import StackOutputs
from ingest_assets.resources.account import AwsAccount
from tests.unit.ingest_assets.fakes import BUCKET, MACHINE, FakeAws
from tests.unit.ingest_assets.harness import Dagster

OUTPUTS = StackOutputs(
    bucket_name=BUCKET,
    queue_url="https://queue",
    failure_topic_arn="arn:aws:sns:us-east-1:123456789012:failure",
    state_machine_arn=MACHINE,
    schedule_name="schedule",
    database_secret_arn="arn:aws:secretsmanager:us-east-1:123456789012:secret:POSTGRESQL",
)


@pytest.fixture(autouse=True, scope="session")
def _migrations_are_read_once() -> Iterator[None]:
    """Each Dagster instance marks its databases as migrated. For each mark Alembic reads all 89 migration scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", cache(ScriptDirectory.from_config))
        yield


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setattr(AwsAccount, "outputs", lambda _: OUTPUTS)
    monkeypatch.setattr(AwsAccount, "step_functions", lambda _: fake.step_functions)
    monkeypatch.setattr(AwsAccount, "emr_serverless", lambda _: fake.emr_serverless)
    monkeypatch.setattr(AwsAccount, "sqs", lambda _: fake.sqs)
    monkeypatch.setattr(S3Resource, "get_client", lambda _: fake.s3)
    return fake


@pytest.fixture
def dagster() -> Iterator[Dagster]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Dagster(instance)
