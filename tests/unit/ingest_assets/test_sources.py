from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.sources import source_asset
from ingest_assets.tables import load_tables
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Column
from spark_scripts.contract.months import UNDATED
from tests.unit.ingest_assets.fakes import FakeAws, FakeExecution
from tests.unit.ingest_assets.harness import Dagster, value

KEY = dg.AssetKey(["postgres", "public", "mockrecord"])


def ingest(aws: FakeAws, dagster: Dagster, months: Mapping[str, int]) -> dg.ExecuteInProcessResult:
    """A run over the months, whose execution finds so many rows without a date in the table."""

    def commit() -> None:
        for month, undated in months.items():
            told: Any = {"undated_rows": undated, "table_comment": "Mock exams", "table_rows": 200, "table_bytes": 8192}
            aws.s3.commit(month, aws.step_functions.started[-1]["name"], **told)

    aws.step_functions.next = FakeExecution(answers=[commit])  # the estimate describes those of the runs before
    result = dagster.materialize(min(months), max(months))
    assert result.success
    return result


def undated(dagster: Dagster) -> list[tuple[bool, str]]:
    """The results about the rows without a date, the newest first."""
    records = dagster.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(KEY, "no_rows_without_date"), limit=10
    )
    found = [record.evaluation for record in records]
    return [(one.passed, one.description or "") for one in found if isinstance(one, dg.AssetCheckEvaluation)]


def observed(dagster: Dagster) -> dict[str, Any]:
    """The metadata of the last observation of the table."""
    [record] = dagster.instance.fetch_observations(KEY, limit=1).records
    assert record.asset_observation
    return {name: value(record.asset_observation.metadata, name) for name in record.asset_observation.metadata}


def test_a_run_logs_columns_size_and_comment_of_the_table_in_postgresql(aws: FakeAws, dagster: Dagster) -> None:
    ingest(aws, dagster, {"2024-02": 12})
    found = observed(dagster)
    assert (found["dagster/row_count"], found["dagster/size_bytes"], found["comment"]) == (200, 8192, "Mock exams")
    columns = found["columns"].columns
    assert found["dagster/column_schema"].columns == columns
    assert [(column.name, column.type, column.description) for column in columns] == [
        ("id", "bigint", None),
        ("questions_list", "text[]", "what was asked"),
    ]


def test_rows_without_a_date_are_one_result_for_the_table_and_a_warning_when_there_are_more(
    aws: FakeAws, dagster: Dagster
) -> None:
    ingest(aws, dagster, {"2024-01": 12, "2024-02": 12})
    ingest(aws, dagster, {"2024-02": 12})
    ingest(aws, dagster, {"2024-01": 15, "2024-02": 15})
    ingest(aws, dagster, {"2024-03": 15})
    same = "rows of mockrecord have no start_date_time: they are in the folder of NULL."
    assert undated(dagster) == [
        (True, f"15 {same}"),
        (False, f"15 {same} That is 3 more than in the execution before."),
        (True, f"12 {same}"),
        (True, f"12 {same}"),
    ]


def observe(dagster: Dagster) -> dg.ExecuteInProcessResult:
    """What the button *Observe* of the table does."""
    definitions = dg.Definitions(
        assets=[source_asset(tables=load_tables()[:1])],
        jobs=[dg.define_asset_job("observe", selection=[KEY])],
        resources={"raw_layer": RawLayerResource(account=AwsAccount(), s3=S3Resource())},
    )
    return definitions.resolve_job_def("observe").execute_in_process(instance=dagster.instance)


def test_observing_a_table_reads_what_the_last_execution_left_whoever_started_it(
    aws: FakeAws, dagster: Dagster
) -> None:
    assert observe(dagster).success
    assert undated(dagster) == [(True, "")]
    aws.s3.commit("2024-02", "by-hand", undated_rows=4, table_rows=7, columns=(Column("id", "bigint"),))
    month, undated_key = (f"raw-layer/_manifests/current/mockrecord/{name}.json" for name in ("2024-02", "undated"))
    assert undated_key == layout.current_manifest_key("mockrecord", UNDATED)
    aws.s3.objects[undated_key] = aws.s3.objects[month]
    assert observe(dagster).success
    assert (observed(dagster)["dagster/row_count"], observed(dagster)["execution_name"]) == (7, "by-hand")
    assert undated(dagster)[0] == (
        True,
        "4 rows of mockrecord have no start_date_time: they are in the folder of NULL.",
    )
