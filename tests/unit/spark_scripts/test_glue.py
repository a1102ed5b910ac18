"""The definitions for the Glue catalog: a table and partitions, from the manifests of the months."""

from dataclasses import replace
from typing import Any

import pytest

from spark_scripts.contract.manifest import Column, File, Manifest
from spark_scripts.glue import definitions
from spark_scripts.glue.definitions import CatalogError

CSV = Manifest(
    table="Records",
    month="2024-02",
    execution="run-1",
    rows=3,
    source_rows=3,
    undated_rows=0,
    bytes=10,
    files=(File("raw-layer/Records/year=2024/month=2/run-1-part-0.csv", 10),),
    columns=(Column("Id", "bigint"), Column("at", "date", "when\nit  was"), Column("note", "text")),
    format="csv",
    date_column="at",
    min_date="2024-02-01",
    max_date="2024-02-29",
    snapshot="00000003-1",
    seconds=1.5,
    started="2024-03-01T00:00:00.000+00:00",
    finished="2024-03-01T00:00:02.000+00:00",
)
PARQUET = replace(
    CSV,
    format="parquet",
    file_columns=(Column("Id", "bigint"), Column("at", "date"), Column("seen", "timestamp_ntz")),
)
LATER = "2024-04-01T00:00:00.000+00:00"


def defined(*manifests: Manifest) -> definitions.Definition:
    definition = definitions.define("Records", "lake", manifests)
    assert definition is not None
    return definition


def columns(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(column["Name"], column["Type"]) for column in document["StorageDescriptor"]["Columns"]]


def months(definition: definitions.Definition) -> set[definitions.Values]:
    return set(definition.partitions)


def test_the_table_is_external_and_its_partitions_are_the_months_folders() -> None:
    definition = defined(CSV, replace(CSV, month="2024-10"))
    assert definition.table["Name"] == "records"
    assert definition.table["TableType"] == "EXTERNAL_TABLE"
    assert definition.table["PartitionKeys"] == [{"Name": "year", "Type": "int"}, {"Name": "month", "Type": "int"}]
    assert definition.table["StorageDescriptor"]["Location"] == "s3://lake/raw-layer/Records/"
    assert months(definition) == {("2024", "2"), ("2024", "10")}
    location = definition.partitions["2024", "2"]["StorageDescriptor"]["Location"]
    assert location == "s3://lake/raw-layer/Records/year=2024/month=2/"


def test_rows_without_a_month_are_in_month_0_of_year_0_so_that_filters_find_numbers_everywhere() -> None:
    definition = defined(CSV, replace(CSV, month="undated"))
    assert months(definition) == {("2024", "2"), ("0", "0")}
    null = "__HIVE_DEFAULT_PARTITION__"
    location = definition.partitions["0", "0"]["StorageDescriptor"]["Location"]
    assert location == f"s3://lake/raw-layer/Records/year={null}/month={null}/"


def test_a_month_without_rows_has_no_partition() -> None:
    empty = replace(CSV, month="2024-03", rows=0, files=(), finished=LATER)
    assert months(defined(CSV, empty)) == {("2024", "2")}
    assert definitions.define("Records", "lake", [empty]) is None
    assert definitions.define("Records", "lake", []) is None


def test_every_column_of_a_csv_is_a_string_and_its_header_is_skipped() -> None:
    definition = defined(CSV)
    for document in (definition.table, *definition.partitions.values()):
        assert columns(document) == [("id", "string"), ("at", "string"), ("note", "string")]
        assert document["Parameters"]["skip.header.line.count"] == "1"


def test_comments_of_the_database_come_along_in_one_line_of_at_most_255_bytes() -> None:
    long = replace(CSV, columns=(Column("id", "bigint", "é" * 200), CSV.columns[1]))
    comments = [column.get("Comment") for column in defined(long).table["StorageDescriptor"]["Columns"]]
    assert comments == ["é" * 127, "when it was"]


def test_parquet_has_the_types_of_its_files() -> None:
    types = {
        "smallint": "smallint",
        "int": "int",
        "bigint": "bigint",
        "float": "float",
        "double": "double",
        "boolean": "boolean",
        "decimal(38,6)": "decimal(38,6)",
        "date": "date",
        "timestamp": "timestamp",
        "timestamp_ntz": "timestamp",
        "binary": "binary",
        "string": "string",
    }
    file_columns = tuple(Column(f"C{number}", type_) for number, type_ in enumerate(types))
    definition = defined(replace(PARQUET, file_columns=file_columns))
    assert columns(definition.table) == [(f"c{number}", type_) for number, type_ in enumerate(types.values())]
    assert "skip.header.line.count" not in definition.table["Parameters"]


def test_a_parquet_table_keeps_the_columns_that_only_older_months_have_and_each_partition_its_own() -> None:
    added = (Column("added", "string"), Column("id", "int"))
    definition = defined(PARQUET, replace(PARQUET, month="2024-03", file_columns=added, finished=LATER))
    assert columns(definition.table) == [("added", "string"), ("id", "int"), ("at", "date"), ("seen", "timestamp")]
    assert columns(definition.partitions["2024", "2"]) == [("id", "bigint"), ("at", "date"), ("seen", "timestamp")]
    assert columns(definition.partitions["2024", "3"]) == [("added", "string"), ("id", "int")]
    assert definition.unfit == ()


def test_a_csv_that_lacks_the_last_columns_of_the_newest_is_read_and_one_with_others_is_not() -> None:
    newest = replace(CSV, month="2024-03", columns=(*CSV.columns, Column("added", "text")), finished=LATER)
    without = replace(CSV, month="2024-01", columns=(CSV.columns[0], CSV.columns[2]))
    longer = replace(newest, month="2023-12", columns=(*newest.columns, Column("gone", "text")), finished=CSV.finished)
    definition = defined(CSV, newest, without, longer)
    assert months(definition) == {("2024", "2"), ("2024", "3")}
    assert columns(definition.table)[-1] == ("added", "string")
    assert definition.unfit == ("2023-12", "2024-01")


def test_the_format_is_that_of_the_month_that_was_ingested_last() -> None:
    definition = defined(CSV, replace(PARQUET, month="2023-01", finished=LATER))
    assert definition.table["Parameters"]["classification"] == "parquet"
    assert (months(definition), definition.unfit) == ({("2023", "1")}, ("2024-02",))


def test_a_parquet_month_of_a_release_that_did_not_record_the_files_columns_is_left_out() -> None:
    old = replace(PARQUET, month="2024-01", file_columns=(), finished=LATER)
    assert defined(PARQUET, old).unfit == ("2024-01",)


@pytest.mark.parametrize(
    ("names", "named"), [(("id", "Name", "NAME"), "Name, NAME"), (("id", "Year", "month"), "Year, month")]
)
@pytest.mark.parametrize("manifest", [CSV, PARQUET], ids=["csv", "parquet"])
def test_columns_that_glue_cannot_tell_apart_are_named(manifest: Manifest, names: tuple[str, ...], named: str) -> None:
    found = tuple(Column(name, "string") for name in names)
    with pytest.raises(CatalogError, match=f"Glue cannot tell the columns {named} apart"):
        defined(replace(manifest, columns=found, file_columns=found))


def test_an_older_month_with_columns_that_glue_cannot_tell_apart_is_left_out() -> None:
    file_columns = (Column("name", "string"), Column("NAME", "string"))
    older = replace(PARQUET, month="2024-01", file_columns=file_columns)
    assert defined(older, replace(PARQUET, finished=LATER)).unfit == ("2024-01",)
