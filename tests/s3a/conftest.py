"""One local account over S3A for this folder's tests, and a Spark session of this process that has S3A.

Where Maven Central cannot be reached all of them are skipped, each by its name, and for no other reason.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from aws_setup.local import s3a
from aws_setup.local.emulator.spark import object_store
from ingest_assets.aws.stack import StackOutputs, stack_name
from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.tables import Table
from tests.integration.conftest import Account, lake, run, running_account, source, spark_session
from tests.integration.servers import database_of
from tests.s3a import counting, mirror

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["lake", "run", "source"]

COUNTING_ACCOUNT = [sys.executable, "-m", "tests.s3a.account"]


@pytest.fixture(scope="package")
def jars() -> Path:
    """The jars of S3A, which Maven fetches once."""
    try:
        return s3a.jars()
    except s3a.JarsNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s3a")


@pytest.fixture(scope="package")
def requests(folder: Path) -> counting.Requests:
    """The S3 requests of the account."""
    return counting.Requests(folder / "requests")


@pytest.fixture(scope="package")
def account(jars: Path, folder: Path, requests: counting.Requests) -> Iterator[Account]:
    """The account; this process's environment leads to it while this folder's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(counting.FILE, str(requests.file))
        with running_account(folder, COUNTING_ACCOUNT) as account:
            yield account


@pytest.fixture(scope="package")
def session(account: Account) -> boto3.session.Session:
    return boto3.session.Session(region_name=account.environment["AWS_REGION"])


@pytest.fixture(scope="package")
def s3(session: boto3.session.Session) -> S3Client:
    return session.client("s3")


@pytest.fixture(scope="package")
def outputs(session: boto3.session.Session) -> StackOutputs:
    return StackOutputs.read(session.client("cloudformation"), stack_name())


@pytest.fixture(scope="package")
def database(account: Account) -> Database:
    return database_of(account.source_dsn)


@pytest.fixture(scope="package")
def spark(account: Account, jars: Path, folder: Path) -> Iterator[SparkSession]:
    """A Spark session on S3A."""
    s3 = object_store.properties(account.environment["AWS_ENDPOINT_URL_S3"])
    with own_jvm(s3a.spark_home(folder / "spark", jars)), spark_session(s3, folder) as session:
        yield session


@contextmanager
def own_jvm(spark_home: Path) -> Iterator[None]:
    """Spark sessions of this process are of `spark_home` meanwhile: other jars need another JVM."""
    assert SparkContext._gateway is None, "tests of another Spark came before these: see tests/conftest.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(spark_home))
        yield
    gateway = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()  # the JVM ends with it
        gateway.proc.wait(30)


@pytest.fixture
def bucket(s3: S3Client, outputs: StackOutputs, tmp_path: Path) -> Bucket:
    """The bucket, which can be looked into as a folder."""
    return Bucket(s3, tmp_path / outputs.bucket_name)


class Bucket:
    """The bucket as a folder that is of the moment when it is asked for."""

    def __init__(self, client: S3Client, folder: Path) -> None:
        self.client = client
        self.name = folder.name
        self._folder = folder

    def of(self, table: Table) -> Path:
        """What is in the bucket of a table: its months, and the manifests that say what they hold."""
        return self.below(layout.table_prefix(table.name), layout.current_manifests_prefix(table.name))

    def below(self, *prefixes: str) -> Path:
        """What is in the bucket below the prefixes."""
        return mirror.downloaded(self.client, self._folder, prefixes)
