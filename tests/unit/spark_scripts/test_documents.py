"""Layout, manifests, tables.json and the job's argument: what the packages exchange."""

import json

import pytest

from spark_scripts.contract import layout
from spark_scripts.contract.arguments import JobArguments
from spark_scripts.contract.errors import DocumentError, InvalidInputError
from spark_scripts.contract.manifest import Column, File, Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table, tables_from_json, tables_to_json

MANIFEST = Manifest(
    table="records",
    month="2024-02",
    execution="run-1",
    rows=3,
    source_rows=3,
    undated_rows=1,
    bytes=10,
    files=(File("raw-layer/records/year=2024/month=2/run-1-part-0.csv", 10),),
    columns=(Column("id", "bigint", None), Column("naïve", "text", "a note")),
    format="csv",
    date_column="day",
    min_date="2024-02-01",
    max_date="2024-02-29",
    snapshot="00000003-1",
    seconds=1.5,
    started="2024-03-01T00:00:00+00:00",
    finished="2024-03-01T00:00:02+00:00",
)


def test_the_month_is_not_zero_padded_in_the_folder_and_is_in_the_manifest() -> None:
    month = Month(2024, 2)
    assert layout.partition_prefix("records", month) == "raw-layer/records/year=2024/month=2/"
    assert layout.current_manifest_key("records", month) == "raw-layer/_manifests/current/records/2024-02.json"
    assert (
        layout.execution_manifest_key("e", "records", month) == "raw-layer/_manifests/executions/e/records/2024-02.json"
    )


def test_rows_without_a_month_have_the_folder_that_spark_reads_as_null() -> None:
    null = "__HIVE_DEFAULT_PARTITION__"
    assert layout.partition_prefix("records", UNDATED) == f"raw-layer/records/year={null}/month={null}/"
    assert layout.current_manifest_key("records", UNDATED) == "raw-layer/_manifests/current/records/undated.json"


def test_staging_and_manifests_start_with_an_underscore_so_that_readers_skip_them() -> None:
    assert layout.staging_prefix("e", "records") == "raw-layer/_staging/e/records/"


def test_a_manifest_reads_back_as_it_was() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_a_manifest_of_another_version_is_refused() -> None:
    document = {**json.loads(MANIFEST.to_json()), "version": 2}
    with pytest.raises(DocumentError, match="version 2, this release reads 1: upgrade"):
        Manifest.from_json(json.dumps(document))


COLOURED = json.dumps({**json.loads(MANIFEST.to_json()), "colour": 1})


@pytest.mark.parametrize("text", ['{"version": 1}', COLOURED, "", "[]", "{"])
def test_a_manifest_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="not of the agreed form"):
        Manifest.from_json(text)


def test_tables_read_back_as_they_were_and_always_give_the_same_text() -> None:
    records = Table("records", "public.records", "day", "2023-01", columns={"tags": {"join": ","}})
    text = tables_to_json([records])
    assert tables_from_json(text) == {"records": records}
    assert tables_to_json(tables_from_json(text).values()) == text


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "tables": [{"nme": 1}]}'])
def test_damaged_tables_name_the_command_that_repairs_them(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"config/tables.json is damaged .*aws_setup deploy"):
        tables_from_json(text)


def test_tables_of_another_version_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="has version 9"):
        tables_from_json('{"version": 9, "tables": []}')


def test_the_job_reads_its_one_argument() -> None:
    argument = {"input": {}, "execution": "e", "bucket": "b", "database_secret": "s", "aws_keys_secret": ""}
    assert JobArguments.parse([json.dumps(argument)]) == JobArguments({}, "e", "b", "s")


@pytest.mark.parametrize("arguments", [[], ["{}", "{}"], ["{"], ["{}"], ['{"bucket": "b", "colour": 1}'], ["[1]"]])
def test_a_wrong_argument_of_the_job_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="the job"):
        JobArguments.parse(arguments)
