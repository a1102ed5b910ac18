"""The job writes its progress while it works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError
from dagster_aws.s3 import S3Resource
from pyspark.sql import SparkSession

from ingest_assets.aws.stack import StackOutputs
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from spark_scripts.contract.database import Database
from spark_scripts.contract.months import Month
from spark_scripts.contract.progress import Progress
from spark_scripts.contract.tables import Table
from spark_scripts.driver import reporter
from spark_scripts.lake.bucket import Lake
from tests.integration.crashing import ingest_into

MONTHS = [Month(2024, number) for number in (1, 2, 3)]


class Listening:
    """An S3 client that records each progress that is written, or refuses to write it."""

    def __init__(self, client: Any, refuses: bool = False) -> None:
        self._client = client
        self._refuses = refuses
        self.heard: list[Progress] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        if arguments["Key"].endswith("/_progress.json"):
            self.heard.append(Progress.from_json(arguments["Body"].decode()))
            if self._refuses:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
        return self._client.put_object(**arguments)


@pytest.fixture
def slow(source: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """Three months of four rows; each row takes PostgreSQL a while."""
    monkeypatch.setattr(reporter, "BEAT", 0.05)
    source.execute("DROP SCHEMA IF EXISTS progress CASCADE; CREATE SCHEMA progress")
    source.execute(
        "CREATE TABLE progress.days AS SELECT day::timestamp AS at FROM"
        " generate_series('2024-01-01'::timestamp, '2024-03-31', '8 days') AS day"
    )
    source.execute(
        "CREATE VIEW progress.slow AS SELECT at, CASE WHEN pg_sleep(0.1) IS NULL THEN 1 END AS one FROM progress.days"
    )
    yield Table("slow", "progress.slow", "at", "2024-01", slice_by="date", slices=6)
    source.execute("DROP SCHEMA progress CASCADE")


def listening(session: boto3.session.Session, *, refuses: bool = False) -> Listening:
    return Listening(session.client("s3"), refuses)


def test_the_progress_has_lines_slices_months_and_rows_and_is_not_a_manifest(
    spark: SparkSession, database: Database, session: boto3.session.Session, outputs: StackOutputs, slow: Table
) -> None:
    client: Any = listening(session)
    ingest_into(spark, database, Lake(spark, client, outputs.bucket_name), "progress-told", slow, MONTHS)
    heard: list[Progress] = client.heard
    reading = [one for one in heard if one.reading]
    assert {one.reading for one in reading} == {"2024-01 to 2024-03"}
    assert len({one.read for one in reading}) > 1  # it changed while the job worked
    assert max(one.read for one in reading) <= reading[0].slices
    last = heard[-1]
    assert (last.table, last.months, last.all_months, last.rows, last.all_rows) == ("slow", 3, 3, 12, 12)
    assert (last.reading, last.slices) == ("", 0)
    assert last.lines[0].startswith("slow: slices by ")

    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
    assert raw_layer.progress("progress-told") == last
    assert raw_layer.ingested_by("progress-told") == [("slow", str(month)) for month in MONTHS]


def test_a_progress_that_cannot_be_written_fails_nothing_and_is_reported_once(
    spark: SparkSession,
    database: Database,
    session: boto3.session.Session,
    outputs: StackOutputs,
    slow: Table,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client: Any = listening(session, refuses=True)
    ingest_into(spark, database, Lake(spark, client, outputs.bucket_name), "untold", slow, MONTHS)
    assert len(client.heard) > 1
    assert capsys.readouterr().out.count("the progress cannot be written: ") == 1
