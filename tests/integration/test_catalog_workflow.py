"""Whole executions of a stack with a Glue database: from the catalog back to the rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import psycopg
import pytest

from aws_setup.commands import deploy
from aws_setup.job_bundle.jdbc import driver_jar
from ingest_assets.aws.executions import Execution, follow
from ingest_assets.aws.stack import StackOutputs
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.tables import Table
from spark_scripts.glue.catalog import Catalog
from tests.integration.conftest import Account
from tests.integration.published import Run, manifest

Session = boto3.session.Session
DATABASE = "lake_catalog"
STACK = "catalog"
BUCKET = "lake-with-catalog"
# Nobody listens there: a job that asked Hive's metastore for anything would fail.
NO_METASTORE = (
    "--conf spark.sql.catalogImplementation=hive --conf spark.hadoop.hive.metastore.uris=thrift://127.0.0.1:1"
)


class Catalogued:
    """The stack with a catalog: runs executions and reads Glue."""

    def __init__(self, session: Session, outputs: StackOutputs, lake: Path) -> None:
        self.client = session.client("stepfunctions")
        self.glue: Any = session.client("glue")
        self.outputs = outputs
        self.lake = lake

    def run(self, request: Any) -> Execution:
        arn = self.client.start_execution(stateMachineArn=self.outputs.state_machine_arn, input=json.dumps(request))[
            "executionArn"
        ]
        return follow(self.client, arn, lambda _: None, poll_seconds=0.3, deadline_seconds=240)

    def table(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.glue.get_table(DatabaseName=DATABASE, Name=name)["Table"]
        return found

    def partitions(self, name: str) -> dict[tuple[str, ...], Path]:
        """The folder of each partition, where its location leads."""
        found = self.glue.get_partitions(DatabaseName=DATABASE, TableName=name)["Partitions"]
        return {
            tuple(one["Values"]): self.lake / one["StorageDescriptor"]["Location"].removeprefix("s3://")
            for one in found
        }

    def manifest(self, name: str, partition: Partition) -> Manifest:
        table = Table(name, "", "", "2023-01")
        return manifest(self.lake / self.outputs.bucket_name, table, partition)


@pytest.fixture(scope="module")
def catalogued(account: Account, session: Session, outputs: StackOutputs) -> Iterator[Catalogued]:
    (account.lake / BUCKET).mkdir()  # what CloudFormation makes here is moto's
    parameters = {
        "BucketName": BUCKET,
        "ScheduleState": "DISABLED",
        "DriverMemory": "2g",
        "DatabaseSecretArn": outputs.database_secret_arn,
        "GlueDatabase": DATABASE,
        "SparkSubmitParameters": NO_METASTORE,
    }
    ignored = account.environment["INGEST_IGNORE_CHECKS"].split(",")
    request = deploy.DeployRequest(STACK, parameters, driver_jar(), ignore=ignored)
    made = deploy.deploy(session, request, lambda _: None)
    yield Catalogued(session, made, account.lake)
    session.client("cloudformation").delete_stack(StackName=STACK)


@pytest.fixture(scope="module")
def ingested(catalogued: Catalogued) -> Catalogued:
    """Both sample tables, two months."""
    execution = catalogued.run({"scheduled_time": "2023-03-15T08:00:00Z", "trailing_months": 1})
    assert (execution.status, execution.cause) == ("SUCCEEDED", None)
    return catalogued


def test_a_csv_table_leads_to_the_rows_of_its_months_and_has_its_columns_as_strings(ingested: Catalogued) -> None:
    columns = ingested.table("mockrecord")["StorageDescriptor"]["Columns"]
    assert {column["Type"] for column in columns} == {"string"}
    partitions = ingested.partitions("mockrecord")
    assert set(partitions) == {("2023", "2"), ("2023", "3"), ("0", "0")}
    for values, partition in {
        ("2023", "2"): Month(2023, 2),
        ("2023", "3"): Month(2023, 3),
        ("0", "0"): UNDATED,
    }.items():
        rows = 0
        for file in partitions[values].iterdir():
            with file.open(newline="", encoding="utf-8") as lines:
                header, *body = csv.reader(lines)
            assert header == [column["Name"] for column in columns]
            rows += len(body)
        assert rows == ingested.manifest("mockrecord", partition).rows > 0


DUCKDB = {
    "int": {"INTEGER"},
    "float": {"FLOAT"},
    "string": {"VARCHAR"},
    "binary": {"BLOB"},
    "timestamp": {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
}
"""What DuckDB calls Glue's types, where that is not the same name in capitals."""


def test_a_parquet_table_has_the_types_that_its_files_have(ingested: Catalogued) -> None:
    columns = ingested.table("orders")["StorageDescriptor"]["Columns"]
    partitions = ingested.partitions("orders")
    assert {("2023", "2"), ("2023", "3")} <= set(partitions)
    for values, folder in partitions.items():
        relation = duckdb.sql(f"FROM read_parquet('{folder}/*.parquet', hive_partitioning=false)")
        assert relation is not None
        partition = Month(int(values[0]), int(values[1])) if values != ("0", "0") else UNDATED
        assert relation.count("*").fetchall() == [(ingested.manifest("orders", partition).rows,)]
        found = dict(zip([name.lower() for name in relation.columns], map(str, relation.types), strict=True))
        assert found.keys() <= {column["Name"] for column in columns}
        for column in columns:
            if column["Name"] in found:
                assert found[column["Name"]] in DUCKDB.get(column["Type"], {column["Type"].upper()}), column
    assert {column["Type"] for column in columns} > {"string", "bigint"}


@pytest.mark.usefixtures("ingested")
def test_a_catalog_that_fails_leaves_the_month_published_and_is_reported_and_updated_by_the_next_run(
    catalogued: Catalogued,
) -> None:
    names = {"DatabaseName": DATABASE, "Name": "orders"}
    catalogued.glue.delete_table(**names)
    theirs = {"Name": "orders", "StorageDescriptor": {"Location": "s3://theirs/"}}
    catalogued.glue.create_table(DatabaseName=DATABASE, TableInput=theirs)

    execution = catalogued.run({"table": "orders", "months": ["2023-04"]})
    assert execution.status == "FAILED"
    told = f"orders: published undated, 2023-04, but the Glue table {DATABASE}.orders was not made by the ingestion"
    assert told in (execution.cause or "")
    published = catalogued.manifest("orders", Month(2023, 4))
    assert (published.execution, published.rows > 0) == (execution.name, True)
    assert all((catalogued.lake / catalogued.outputs.bucket_name / file.key).exists() for file in published.files)
    assert catalogued.table("orders")["StorageDescriptor"]["Location"] == "s3://theirs/"

    catalogued.glue.delete_table(**names)
    assert catalogued.run({"table": "orders", "months": ["2023-05"]}).status == "SUCCEEDED"
    assert {("2023", str(month)) for month in (2, 3, 4, 5)} <= set(catalogued.partitions("orders"))


@pytest.fixture
def own(source: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The source with a schema of this module's."""
    source.execute("CREATE SCHEMA catalogued")
    yield source
    source.execute("DROP SCHEMA catalogued CASCADE")


@pytest.fixture
def catalog(session: Session, outputs: StackOutputs) -> Catalog:
    return Catalog(session, "lake_single", outputs.bucket_name)


def test_columns_that_differ_in_capitals_only_fail_the_catalog_and_not_the_month(
    run: Run, catalog: Catalog, bucket: Path, own: psycopg.Connection[Any]
) -> None:
    own.execute("CREATE TABLE catalogued.capitals AS SELECT 1 AS \"Name\", 2 AS name, '2024-01-05'::date AS at")
    capitals = Table("capitals", "catalogued.capitals", "at", "2024-01", format="parquet")
    told = (
        "capitals: published undated, 2024-01, but Glue cannot tell the columns Name, name apart.*"
        "the table's next run updates the catalog"
    )
    with pytest.raises(IngestionError, match=told):
        run("run-1", capitals, months=[Month(2024, 1)], catalog=catalog)
    assert manifest(bucket, capitals, Month(2024, 1)).rows == 1


def test_the_months_before_one_that_fails_come_into_the_catalog(
    run: Run, catalog: Catalog, session: Session, own: psycopg.Connection[Any]
) -> None:
    own.execute(
        "CREATE TABLE catalogued.halfway_rows AS"
        " SELECT '2024-01-05'::date + 31 * i AS at, i FROM generate_series(0, 1) i;"
        "CREATE VIEW catalogued.halfway AS SELECT at, CASE WHEN i = 0 THEN 1 ELSE 1 / (1 - i) END AS value"
        " FROM catalogued.halfway_rows"
    )
    halfway = Table("halfway", "catalogued.halfway", "at", "2024-01")
    with pytest.raises(IngestionError, match=r"halfway 2024-02: .*division by zero") as failed:
        run("run-1", halfway, months=[Month(2024, 1), Month(2024, 2)], catalog=catalog)
    assert "Glue" not in str(failed.value)
    client: Any = session.client("glue")
    found = client.get_partitions(DatabaseName="lake_single", TableName="halfway")["Partitions"]
    assert [one["Values"] for one in found] == [["2024", "1"]]
