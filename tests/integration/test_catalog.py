"""The Glue catalog, on moto's Glue: what the job writes, when it writes nothing, and what a failure leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from spark_scripts.contract.manifest import Column, Manifest
from spark_scripts.glue import definitions
from spark_scripts.glue.catalog import Catalog
from spark_scripts.glue.definitions import CatalogError

MANIFEST = Manifest(
    table="Records",
    month="2024-02",
    execution="run-1",
    rows=3,
    source_rows=3,
    undated_rows=0,
    bytes=10,
    files=(),
    columns=(Column("id", "bigint"), Column("note", "text")),
    format="csv",
    date_column="at",
    min_date=None,
    max_date=None,
    snapshot=None,
    seconds=1.5,
    started="2024-03-01T00:00:00.000+00:00",
    finished="2024-03-01T00:00:02.000+00:00",
)
MARCH = replace(MANIFEST, month="2024-03")
LATER = "2024-04-01T00:00:00.000+00:00"
TABLE = {"DatabaseName": "lake_db", "TableName": "records"}


class Recorded:
    """A catalog, the writing calls that it makes, and the calls that Glue is to refuse."""

    def __init__(self) -> None:
        session = boto3.session.Session("key", "secret", region_name="us-east-1")
        self.catalog = Catalog(session, "lake_db", "lake")
        self.glue: Any = session.client("glue")
        self.written: list[str] = []
        self.refused: set[str] = set()
        events = self.catalog._client.meta.events
        events.register("before-call.glue", self._before_call)

    def _before_call(self, model: Any, **_: Any) -> None:
        if model.name in self.refused:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, model.name)
        if not model.name.startswith("Get"):
            self.written.append(model.name)

    def update(self, *manifests: Manifest) -> list[str]:
        """Update the catalog. Returns the calls that wrote."""
        self.written.clear()
        self.catalog.update("Records", manifests)
        return list(self.written)

    def table(self) -> dict[str, Any]:
        found: dict[str, Any] = self.glue.get_table(DatabaseName="lake_db", Name="records")["Table"]
        return found

    def months(self) -> list[list[str]]:
        return sorted(one["Values"] for one in self.glue.get_partitions(**TABLE)["Partitions"])


@pytest.fixture
def glue_() -> Iterator[Recorded]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        with mock_aws():
            yield Recorded()


def test_database_table_and_partitions_are_made_once_and_then_left_alone(glue_: Recorded) -> None:
    assert glue_.update(MANIFEST, MARCH) == ["CreateDatabase", "CreateTable", "BatchCreatePartition"]
    assert glue_.update(MANIFEST, replace(MARCH, execution="run-2", finished=LATER)) == []
    assert glue_.months() == [["2024", "2"], ["2024", "3"]]
    wanted = definitions.define("Records", "lake", [MANIFEST])
    assert wanted is not None
    found = glue_.glue.get_partition(**TABLE, PartitionValues=["2024", "2"])["Partition"]
    assert {key: found[key] for key in ("Values", "StorageDescriptor", "Parameters")} == wanted.partitions["2024", "2"]


def test_an_answer_that_leaves_out_what_is_empty_and_adds_defaults_is_no_change(glue_: Recorded) -> None:
    parquet = replace(MANIFEST, format="parquet", file_columns=(Column("id", "bigint"),))
    glue_.update(parquet)
    found = glue_.glue.get_partition(**TABLE, PartitionValues=["2024", "2"])["Partition"]
    terse = {"Values": found["Values"], "StorageDescriptor": {**found["StorageDescriptor"], "Compressed": False}}
    glue_.glue.update_partition(**TABLE, PartitionValueList=["2024", "2"], PartitionInput=terse)
    assert glue_.update(parquet) == []


def test_months_from_before_the_catalog_and_from_runs_whose_catalog_failed_are_added(glue_: Recorded) -> None:
    glue_.update(MANIFEST)
    glue_.refused = {"BatchCreatePartition"}
    with pytest.raises(CatalogError, match=r"the Glue table lake_db\.records could not be updated: .*AccessDenied"):
        glue_.update(MANIFEST, MARCH)
    glue_.refused = set()
    assert glue_.update(MANIFEST, MARCH, replace(MANIFEST, month="2024-04")) == ["BatchCreatePartition"]
    assert glue_.months() == [["2024", "2"], ["2024", "3"], ["2024", "4"]]


def test_many_months_are_written_and_removed_as_many_at_a_time_as_glue_takes(glue_: Recorded) -> None:
    every = [replace(MANIFEST, month=f"{year}-{month:02}") for year in range(2000, 2012) for month in range(1, 13)]
    assert glue_.update(*every)[2:] == ["BatchCreatePartition"] * 2
    assert len(glue_.months()) == 144
    empty = [replace(one, rows=0) for one in every[:30]]
    assert glue_.update(*empty, *every[30:]) == ["BatchDeletePartition"] * 2
    assert len(glue_.months()) == 114


def test_a_month_that_is_empty_now_loses_its_partition_and_the_last_one_too(glue_: Recorded) -> None:
    glue_.update(MANIFEST, MARCH)
    assert glue_.update(MANIFEST, replace(MARCH, rows=0, finished=LATER)) == ["BatchDeletePartition"]
    assert glue_.months() == [["2024", "2"]]
    assert glue_.update(replace(MANIFEST, rows=0)) == ["BatchDeletePartition"]
    assert glue_.months() == []
    assert glue_.update(MANIFEST) == ["BatchCreatePartition"]


def test_nothing_is_made_for_a_table_without_rows(glue_: Recorded) -> None:
    assert glue_.update(replace(MANIFEST, rows=0)) == []


def test_a_column_that_was_added_comes_into_the_table_and_what_people_wrote_there_stays(glue_: Recorded) -> None:
    glue_.update(MANIFEST, MARCH)
    found = glue_.table()
    described = {key: found[key] for key in ("Name", "TableType", "PartitionKeys", "StorageDescriptor")}
    parameters = {**found["Parameters"], "owner_team": "billing"}
    glue_.glue.update_table(
        DatabaseName="lake_db", TableInput={**described, "Parameters": parameters, "Description": "our records"}
    )
    added = replace(MARCH, columns=(*MARCH.columns, Column("added", "text")), finished=LATER)
    assert glue_.update(MANIFEST, added) == ["UpdateTable", "UpdatePartition"]
    table = glue_.table()
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == ["id", "note", "added"]
    assert (table["Description"], table["Parameters"]["owner_team"]) == ("our records", "billing")


def test_months_that_the_table_no_longer_reads_leave_it_and_the_run_that_removes_them_fails(
    glue_: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    glue_.update(MANIFEST, MARCH)
    parquet = replace(MARCH, format="parquet", file_columns=(Column("id", "bigint"),), finished=LATER)
    with pytest.raises(CatalogError, match=r"2024-02: ingested with other columns or in another format than now"):
        glue_.update(MANIFEST, parquet)
    assert glue_.written == ["BatchDeletePartition", "UpdateTable", "UpdatePartition"]
    assert glue_.months() == [["2024", "3"]]
    assert glue_.table()["Parameters"] == {"EXTERNAL": "TRUE", "classification": "parquet"}
    assert glue_.update(MANIFEST, parquet) == []
    assert capsys.readouterr().out.count("2024-02: ingested with other columns") == 2


def test_a_partition_with_another_location_is_corrected(glue_: Recorded) -> None:
    glue_.update(MANIFEST)
    elsewhere = {"Values": ["2024", "2"], "StorageDescriptor": {"Location": "s3://elsewhere/"}}
    glue_.glue.update_partition(**TABLE, PartitionValueList=["2024", "2"], PartitionInput=elsewhere)
    assert glue_.update(MANIFEST) == ["UpdatePartition"]
    assert glue_.update(MANIFEST) == []


@pytest.mark.parametrize(
    ("location", "keys", "told"),
    [
        (
            "s3://other/records/",
            definitions.PARTITION_KEYS,
            "its location is s3://other/records/ and its partition keys are year int",
        ),
        ("s3://lake/raw-layer/Records/", [{"Name": "day", "Type": "date"}], "and its partition keys are day date"),
        ("", [], "its location is empty and its partition keys are none"),
    ],
)
@pytest.mark.parametrize("rows", [3, 0])
def test_a_table_of_somebody_else_is_left_alone(
    glue_: Recorded, location: str, keys: list[dict[str, str]], told: str, rows: int
) -> None:
    glue_.glue.create_database(DatabaseInput={"Name": "lake_db"})
    glue_.glue.create_table(
        DatabaseName="lake_db",
        TableInput={"Name": "records", "StorageDescriptor": {"Location": location}, "PartitionKeys": keys},
    )
    glue_.glue.batch_create_partition(**TABLE, PartitionInputList=[{"Values": ["theirs"]}])
    with pytest.raises(CatalogError, match=f"the Glue table lake_db.records was not made by the ingestion: .*{told}"):
        glue_.update(replace(MANIFEST, rows=rows))
    assert glue_.written == []


def test_a_partition_that_cannot_be_updated_is_named(glue_: Recorded) -> None:
    glue_.update(MANIFEST, MARCH)
    glue_.refused = {"UpdatePartition"}
    added = replace(MARCH, columns=(*MARCH.columns, Column("added", "text")), finished=LATER)
    with pytest.raises(CatalogError, match=r"the partition year=2024/month=3 could not be updated: .*AccessDenied"):
        glue_.update(MANIFEST, added)


def test_partitions_that_a_batch_could_not_write_are_named(glue_: Recorded) -> None:
    glue_.update(MANIFEST, MARCH)
    wanted = definitions.define("Records", "lake", [MARCH])
    assert wanted is not None
    with pytest.raises(
        CatalogError, match="could not be written: year=2024/month=3: AlreadyExistsException, Partition"
    ):
        glue_.catalog._create("Records", list(wanted.partitions.values()))
    with pytest.raises(CatalogError, match="could not be written: year=1999/month=1: EntityNotFoundException"):
        glue_.catalog._delete("Records", [("1999", "1"), ("2024", "2")])
    assert glue_.months() == [["2024", "3"]]


def test_a_service_that_cannot_be_reached_is_an_error(glue_: Recorded) -> None:
    session = boto3.session.Session("key", "secret", region_name="us-east-1")
    catalog = Catalog(session, "lake_db", "lake")
    catalog._client = session.client("glue", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(CatalogError, match=r"the Glue table lake_db\.records could not be updated: Could not connect"):
        catalog.update("Records", [MANIFEST])


LINES = {
    '1,"a ""quoted"" word","C:\\temp\\""x"""': ["1", 'a "quoted" word', 'C:\\temp\\"x"'],
    ',"",z': ["", "", "z"],
    '"\\","\\\\",end': ["\\", "\\\\", "end"],
    '"""","a,b","  blanks "': ['"', "a,b", "  blanks "],
    'é,"a\tb",漢': ["é", "a\tb", "漢"],
    "1,2": ["1", "2", None],  # from before the last column was added
}


def test_hive_reads_a_line_of_csv_correctly_with_the_settings_of_the_table(spark: Any) -> None:
    wanted = definitions.define("Records", "lake", [MANIFEST])
    assert wanted is not None
    settings = wanted.table["StorageDescriptor"]["SerdeInfo"]
    serde = spark._jvm
    for part in settings["SerializationLibrary"].split("."):
        serde = getattr(serde, part)
    serde, properties = serde(), spark._jvm.java.util.Properties()
    for key, value in {**settings["Parameters"], "columns": "a,b,c", "columns.types": "string:string:string"}.items():
        properties.setProperty(key, value)
    serde.initialize(spark._jsc.hadoopConfiguration(), properties)
    text = spark._jvm.org.apache.hadoop.io.Text
    assert {line: list(serde.deserialize(text(line))) for line in LINES} == LINES
