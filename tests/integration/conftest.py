"""One local account for all integration tests, in a process of its own.

A process of its own because moto keeps its state in module globals: a test that starts a `LocalAws` would wipe the
account. It is started by the command that people use, and ends when the standard input of its command ends, so also
when the tests are killed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pyspark.sql import SparkSession

from aws_setup.job_bundle.jdbc import driver_jar
from aws_setup.local.class_archive import java_options
from aws_setup.local.emulator.spark.submit import JAVA_OPTIONS, s3_properties
from ingest_assets.aws.raw_layer import RawLayer, RawLayerOfBucket
from ingest_assets.aws.stack import StackOutputs, stack_name
from spark_scripts.contract.database import Database
from spark_scripts.contract.months import Month
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.glue.catalog import Catalog
from spark_scripts.ingest import ingest
from spark_scripts.lake import spark_io
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres import small_tables
from spark_scripts.postgres.source import Source
from tests.integration.published import Run
from tests.integration.records import NAUGHTY

ROOT = Path(__file__).parents[2]
SHOW_ENVIRONMENT = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
OWN = ("AWS_", "INGEST_", "SOURCE_DSN", "LAKE_DIR", "DAGSTER_HOME", "JAVA_HOME", "NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class Account:
    """What tests need of the running account, named as in LocalAccount."""

    environment: dict[str, str] = field(repr=False)  # secrets, which a failing test would print
    source_dsn: str = field(repr=False)
    lake: Path


def local(*arguments: str | Path) -> list[str | Path]:
    """The command line of the launcher."""
    return [sys.executable, "-m", "aws_setup", "local", *arguments]


@contextmanager
def running_account(folder: Path, launcher: Sequence[str | Path] = ()) -> Iterator[Account]:
    """An account that keeps its data in `folder`; while it runs, this process's environment leads to it."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*(launcher or local()), "--home", folder / "home", "--", sys.executable, "-c", SHOW_ENVIRONMENT],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # no terminal: it must not take Ctrl-C away from pytest
        )
    assert process.stdin is not None
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the local account did not start: {(folder / 'log').read_text()}"
    environment = {name: value for name, value in json.loads(line).items() if name.startswith(OWN)}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Account(environment, environment["SOURCE_DSN"], Path(environment.get("LAKE_DIR", os.devnull)))
    process.stdin.close()
    assert process.wait(60) == 0, (folder / "log").read_text()


@pytest.fixture(scope="session")
def session(account: Account) -> boto3.session.Session:
    """A session of the account."""
    return boto3.session.Session(region_name=account.environment["AWS_REGION"])


@pytest.fixture
def source(account: Account) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the source database as its owner; every statement commits."""
    with psycopg.connect(account.source_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def outputs(session: boto3.session.Session) -> StackOutputs:
    """What the stack calls its resources."""
    return StackOutputs.read(session.client("cloudformation"), stack_name())


@pytest.fixture(scope="session")
def bucket(account: Account, outputs: StackOutputs) -> Path:
    """The folder behind the bucket."""
    return account.lake / outputs.bucket_name


@pytest.fixture(scope="session")
def database(account: Account) -> Database:
    """The source, as its owner."""
    fields = conninfo_to_dict(account.source_dsn)
    return Database(
        host=str(fields["host"]),
        port=int(fields["port"] or 0),
        name=str(fields["dbname"]),
        user=str(fields["user"]),
        password=str(fields["password"]),
        sslmode="disable",
    )


@pytest.fixture(scope="session")
def spark(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A Spark session of this process that sees the lake as the job does."""
    with spark_session(s3_properties(account.lake), tmp_path_factory.mktemp("spark")) as session:
        yield session


@contextmanager
def spark_session(s3: Mapping[str, str], folder: Path) -> Iterator[SparkSession]:
    """A Spark session that reaches `s3://` by the properties `s3`; its files are in `folder`."""
    builder: Any = SparkSession.builder.master("local[2]").config(map={**spark_io.SESSION, **s3})
    session: SparkSession = (
        builder.config("spark.jars", str(driver_jar()))
        .config("spark.driver.defaultJavaOptions", f"{JAVA_OPTIONS} {java_options()}")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(folder))
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def lake(spark: SparkSession, session: boto3.session.Session, outputs: StackOutputs) -> Lake:
    """The bucket, as the job sees it."""
    return Lake(spark, session.client("s3"), outputs.bucket_name)


@pytest.fixture
def raw_layer(session: boto3.session.Session, outputs: StackOutputs) -> RawLayer:
    """The bucket, as Dagster and the commands see it."""
    return RawLayerOfBucket(session.client("s3"), outputs.bucket_name)


@pytest.fixture
def run(spark: SparkSession, database: Database, lake: Lake) -> Run:
    """Ingest tables in an execution of the given name."""

    def run(
        execution: str,
        *tables: Table,
        months: list[Month] | None = None,
        catalog: Catalog | None = None,
        refresh: bool = False,
        dry_run: bool = False,
    ) -> None:
        asked = None if months is None else tuple(months)
        requests = [TableRequest(table, asked, refresh, dry_run) for table in tables]
        keys = [lock_key(lake.bucket, table.name) for table in tables]
        with (
            Locks.taken(spark, database, execution, keys) as locks,
            Source.connect(spark, database, execution) as source,
        ):
            ingest(spark, source, locks, lake, requests, catalog)

    return run


@pytest.fixture(params=["by the driver", "by Spark"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tables are read by the driver itself, as they are without this, or by Spark as larger ones are."""
    if request.param == "by Spark":
        monkeypatch.setattr(small_tables, "MAX_ROWS", 0)


@pytest.fixture
def records(source: psycopg.Connection[Any]) -> Iterator[Table]:
    """A table with every naughty text in January and February 2024, and two rows without a month."""
    source.execute("DROP SCHEMA IF EXISTS job CASCADE; CREATE SCHEMA job")
    source.execute("CREATE TABLE job.records (id serial PRIMARY KEY, at timestamp, note text, tags text[])")
    with source.cursor() as cursor:
        rows = [(f"2024-0{month}-15 10:20:30.123456", note) for month in (1, 2) for note in NAUGHTY]
        cursor.executemany("INSERT INTO job.records (at, note, tags) VALUES (%s, %s, ARRAY['x', NULL, 'y,z'])", rows)
    source.execute("INSERT INTO job.records (at, note) VALUES (NULL, 'never'), ('-infinity', 'always')")
    yield Table("records", "job.records", "at", "2024-01", columns={"tags": {"join": ","}}, verify="content")
    source.execute("DROP SCHEMA job CASCADE")


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
