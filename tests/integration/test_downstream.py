"""Assets downstream of the raw layer, over months that were really ingested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb
import pandas  # type: ignore[import-untyped]
import polars
import psycopg
import pyarrow as pa
import pytest
from dagster_aws.s3 import S3Resource

from ingest_assets.definitions import build_definitions
from ingest_assets.io_manager import READER, RawLayerIOManager, raw_layer_input
from ingest_assets.partitions import monthly_partitions
from ingest_assets.read import Rows, month
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.summaries import summary_key
from ingest_assets.tables import load_tables
from spark_scripts.contract.months import Month
from tests.integration.published import Run
from tests.integration.test_dagster import Materializing, one

MOCKRECORD = load_tables()[0]
RAW_LAYER = dg.AssetKey(["raw_layer", "mockrecord"])
SUMMARY = summary_key("mockrecord")
MONTHS = ("2024-01", "2024-02", "2024-03")
QUARTERS = dg.TimeWindowPartitionsDefinition(
    start="2024-01", end="2024-07", fmt="%Y-%m", cron_schedule="0 0 1 1,4,7,10 *", timezone="UTC"
)
INPUT = {"mockrecord": raw_layer_input("mockrecord")}


@dg.asset(ins=INPUT, partitions_def=monthly_partitions(MOCKRECORD))
def by_pandas(mockrecord: pandas.DataFrame) -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows": len(mockrecord), "first": str(mockrecord["start_date_time"].min())})


@dg.asset(ins=INPUT, partitions_def=monthly_partitions(MOCKRECORD))
def by_polars(mockrecord: polars.DataFrame) -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows": mockrecord.height, "first": str(mockrecord["start_date_time"].min())})


@dg.asset(ins=INPUT, partitions_def=monthly_partitions(MOCKRECORD), backfill_policy=dg.BackfillPolicy.single_run())
def by_duckdb(mockrecord: duckdb.DuckDBPyRelation) -> dg.MaterializeResult[Any]:
    [(rows, first)] = mockrecord.aggregate("count(*), min(start_date_time)::varchar").fetchall()
    return dg.MaterializeResult(metadata={"rows": rows, "first": first})


@dg.asset(ins=INPUT, partitions_def=QUARTERS)
def by_quarter(mockrecord: pa.Table) -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows": mockrecord.num_rows})


@dg.asset(ins=INPUT, partitions_def=monthly_partitions(MOCKRECORD))
def when_asked(mockrecord: Rows) -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows": len(mockrecord.arrow())})


@dg.asset(ins=INPUT, partitions_def=monthly_partitions(MOCKRECORD))
def without_type(mockrecord) -> None:  # type: ignore[no-untyped-def]
    raise AssertionError


@dg.asset(ins=INPUT)
def without_months(mockrecord: pa.Table) -> None:
    """All months that there can be, of which most have not been ingested."""


@dg.asset(io_manager_key=READER)
def writes() -> int:
    return 1


def reader() -> RawLayerIOManager:
    return RawLayerIOManager(raw_layer=RawLayerResource(account=AwsAccount(), s3=S3Resource()))


@pytest.fixture
def dagster() -> Iterator[Materializing]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Materializing(instance)


def run_of(dagster: Materializing, asset: dg.AssetsDefinition, **run: Any) -> dg.ExecuteInProcessResult:
    raw_layer = build_definitions().resolve_assets_def(RAW_LAYER)
    return dg.materialize(
        [raw_layer, asset],
        selection=[asset],
        resources={READER: reader()},
        instance=dagster.instance,
        raise_on_error=False,
        **run,
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    assert result.success
    [event, *_] = result.asset_materializations_for_node(asset)
    return {key: value.value for key, value in event.metadata.items()}


def in_postgresql(source: psycopg.Connection[Any], first: str, after: str) -> dict[str, Any]:
    rows, begin = one(
        source,
        "SELECT count(*), min(start_date_time)::text FROM public.mockrecord"
        f" WHERE start_date_time >= '{first}-01' AND start_date_time < '{after}-01'",
    )
    return {"rows": rows, "first": begin}


def test_an_asset_downstream_takes_its_months_in_the_type_that_it_names(
    run: Run, dagster: Materializing, source: psycopg.Connection[Any]
) -> None:
    run("downstream", MOCKRECORD.to_table(), months=[Month.parse(each) for each in MONTHS])
    february = in_postgresql(source, "2024-02", "2024-03")
    assert february["rows"] > 0
    assert metadata(run_of(dagster, by_pandas, partition_key="2024-02"), "by_pandas") == february
    polars_first = metadata(run_of(dagster, by_polars, partition_key="2024-02"), "by_polars")
    assert {**polars_first, "first": polars_first["first"].removesuffix(".000000")} == february
    assert metadata(run_of(dagster, when_asked, partition_key="2024-02"), "when_asked") == {"rows": february["rows"]}
    ends = {"dagster/asset_partition_range_start": "2024-02", "dagster/asset_partition_range_end": "2024-03"}
    spring = in_postgresql(source, "2024-02", "2024-04")
    assert metadata(run_of(dagster, by_duckdb, tags=ends), "by_duckdb") == spring
    quarter = in_postgresql(source, "2024-01", "2024-04")
    assert metadata(run_of(dagster, by_quarter, partition_key="2024-01"), "by_quarter") == {"rows": quarter["rows"]}


def test_what_an_input_cannot_be_is_told_in_one_line(run: Run, dagster: Materializing) -> None:
    run("downstream-errors", MOCKRECORD.to_table(), months=[Month.parse("2024-02")])
    told = dagster.failure(run_of(dagster, without_type, partition_key="2024-02"))
    assert told.startswith("the input mockrecord must say what it takes: annotate it with one of pandas.DataFrame, ")
    told = dagster.failure(run_of(dagster, by_pandas, partition_key="2023-01"))
    assert told.startswith("mockrecord: 2023-01 has not been ingested. Ingested are ")
    told = dagster.failure(run_of(dagster, without_months))
    assert told.startswith("mockrecord: 2023-01 has not been ingested. Ingested are ")
    told = dagster.failure(run_of(dagster, writes))
    assert told.startswith("raw_layer_reader reads the raw layer and writes nothing")


@pytest.fixture
def restored(source: psycopg.Connection[Any]) -> Iterator[None]:
    """The rows of mockrecord are afterwards what they were."""
    source.execute("CREATE TABLE public.before AS SELECT * FROM public.mockrecord")
    yield
    source.execute("TRUNCATE public.mockrecord; INSERT INTO public.mockrecord SELECT * FROM public.before")
    source.execute("DROP TABLE public.before")
    source.execute("VACUUM ANALYZE public.mockrecord")


@pytest.mark.usefixtures("restored")
def test_of_three_months_ingested_again_the_two_that_changed_are_requested(
    dagster: Materializing, source: psycopg.Connection[Any]
) -> None:
    definitions = build_definitions()
    tick = dg.evaluate_automation_conditions(definitions, dagster.instance)
    assert dagster.run("mockrecord", "2024-01", "2024-03").success
    tick = dg.evaluate_automation_conditions(definitions, dagster.instance, cursor=tick.cursor)
    assert tick.get_requested_partitions(SUMMARY) == {*MONTHS}
    first = versions(dagster)
    source.execute(
        "UPDATE public.mockrecord SET score = coalesce(score, 0) + 1 WHERE id = (SELECT min(id) FROM"
        " public.mockrecord WHERE start_date_time >= '2024-01-01' AND start_date_time < '2024-02-01')"
    )
    source.execute(
        "DELETE FROM public.mockrecord WHERE id = (SELECT min(id) FROM public.mockrecord"
        " WHERE start_date_time >= '2024-03-01' AND start_date_time < '2024-04-01')"
    )
    assert dagster.run("mockrecord", "2024-01", "2024-03").success
    second = versions(dagster)
    assert [each for each in MONTHS if first[each] != second[each]] == ["2024-01", "2024-03"]
    tick = dg.evaluate_automation_conditions(definitions, dagster.instance, cursor=tick.cursor)
    assert tick.get_requested_partitions(SUMMARY) == {"2024-01", "2024-03"}
    summarise = definitions.resolve_implicit_global_asset_job_def()
    result = summarise.execute_in_process(asset_selection=[SUMMARY], partition_key="2024-03", instance=dagster.instance)
    found = metadata(result, "summary__mockrecord")
    rows = in_postgresql(source, "2024-03", "2024-04")["rows"]
    assert found["dagster/partition_row_count"] == rows == len(month("mockrecord", "2024-03").arrow())
    assert sum(record.data["rows"] for record in found["days"].records) == rows


def versions(dagster: Materializing) -> dict[str, str]:
    """The data version of each month's newest materialisation."""
    records = dagster.instance.fetch_materializations(RAW_LAYER, limit=100).records
    events = [record.asset_materialization for record in reversed(records)]
    return {str(event.partition): (event.tags or {})["dagster/data_version"] for event in events if event}
