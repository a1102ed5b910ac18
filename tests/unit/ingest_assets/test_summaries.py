"""Which months' summaries Dagster starts by itself, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, StepMaterializationData
from dagster._core.test_utils import create_run_for_test
from dagster_aws.s3 import S3Resource

from ingest_assets.assets import raw_layer_asset
from ingest_assets.definitions import build_definitions
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.summaries import CHANGED_MONTHS, summarized, summary_assets, summary_key
from ingest_assets.tables import load_tables
from ingest_assets.workflow.resource import IngestionWorkflow
from tests.unit.ingest_assets.fakes import FakeAws, FakeExecution, notification
from tests.unit.ingest_assets.harness import KEY, Dagster, ranged
from tests.unit.ingest_assets.test_sensor import Queue
from tests.unit.ingest_assets.test_versions import stale

SUMMARY = summary_key("mockrecord")
MONTHS = tuple(f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13))
CONTENT = {month: f"content of {month}" for month in MONTHS}
TWO = {"2023-05": "changed", "2024-09": "changed"}
FEW = {month: CONTENT[month] for month in ("2023-05", "2023-06", "2024-09")}
FINISHED = "2026-01-01T00:00:09+00:00"  # after the fakes' first ingest
Condition = dg.AutomationCondition


class Automation:
    """The ticks of Dagster's sensor for automation conditions, and runs that end between them."""

    def __init__(self, aws: FakeAws, dagster: Dagster, condition: Condition[Any] | None = None) -> None:
        self.aws, self.dagster = aws, dagster
        self.queue = Queue(aws, dagster.instance)
        self.definitions = build_definitions()
        if condition is not None:
            summary = dg.AssetSpec(
                SUMMARY, deps=[KEY], partitions_def=monthly_partitions(load_tables()[0]), automation_condition=condition
            )
            raw_layer = raw_layer_asset(table=load_tables()[0])
            self.definitions = dg.Definitions([raw_layer, summary], resources={"workflow": object()})
        self.cursor: Any = None
        self.executions = 0
        self.tick()

    def tick(self) -> tuple[str, ...]:
        """The months whose summary is requested."""
        result = dg.evaluate_automation_conditions(self.definitions, self.dagster.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return tuple(sorted(filter(None, result.get_requested_partitions(SUMMARY) or ())))

    def summarise(self, *months: str) -> None:
        for month in months:
            self.dagster.instance.report_runless_asset_event(dg.AssetMaterialization(SUMMARY, partition=month))

    def begin_summary(self, month: str) -> Callable[[], None]:
        """A run that summarises the month goes on until the answer is called."""
        instance = self.dagster.instance
        run = create_run_for_test(
            instance,
            job_name="summarise",
            asset_selection=frozenset({SUMMARY}),
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": month},
        )
        planned = AssetMaterializationPlannedData(SUMMARY, partition=month)
        event = DagsterEvent.build_asset_materialization_planned_event("summarise", "step", planned)
        instance.report_dagster_event(event, run.run_id)

        def end() -> None:
            done = StepMaterializationData(dg.AssetMaterialization(SUMMARY, partition=month))
            kind = dg.DagsterEventType
            for each, data in ((kind.ASSET_MATERIALIZATION, done), (kind.RUN_SUCCESS, None)):
                event = DagsterEvent(each.value, "summarise", event_specific_data=data)
                instance.report_dagster_event(event, run.run_id)

        return end

    def by_eventbridge(self, content: Mapping[str, str]) -> None:
        """An execution that Dagster did not start ingests the months, and the queue's sensor records it."""
        self.executions += 1
        name = f"e{self.executions}"
        for month, digest in content.items():
            self.aws.s3.commit(month, name, content=digest)
        self.aws.sqs.send(notification("SUCCEEDED", name, months=tuple(content)))
        self.queue.tick()

    def by_dagster(self, content: Mapping[str, str]) -> None:
        """A run of Dagster ingests the months, which must be adjacent."""
        self.aws.step_functions.next = FakeExecution(answers=[self.aws.commits(*content, content=content)])
        assert self.dagster.materialize(min(content), max(content)).success

    def refreshed_by_eventbridge(self, content: Mapping[str, str]) -> None:
        """A refresh that Dagster did not start finds the months that differ, and the queue's sensor records it."""
        self.executions += 1
        name = f"e{self.executions}"
        changed = self.changed(content)
        self.aws.s3.found(name, dict.fromkeys(changed, "newer rows"), *(content.keys() - {*changed}))
        for month in changed:
            self.aws.s3.commit(month, name, content=content[month], finished=FINISHED)
        self.aws.sqs.send({**notification("SUCCEEDED", name), "input": {"refresh": True}})
        self.queue.tick()

    def refreshed_by_dagster(self, content: Mapping[str, str]) -> None:
        """A run of the job that refreshes the table."""
        changed = self.changed(content)
        looks = self.aws.finds(dict.fromkeys(changed, "newer rows"), *(content.keys() - {*changed}))
        self.aws.step_functions.next = FakeExecution(answers=[looks, self.aws.commits(*changed, content=content)])
        assert self.dagster.refresh().success

    def changed(self, content: Mapping[str, str]) -> list[str]:
        """The months that a refresh ingests: those whose content differs."""
        raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
        current = {month: raw_layer.current("mockrecord", month) for month in content}
        return [month for month, found in current.items() if found is None or found.content != content[month]]


def summarised(automation: Automation, content: Mapping[str, str]) -> Automation:
    """After the months were ingested for the first time and summarised."""
    automation.by_eventbridge(content)
    assert automation.tick() == tuple(content)
    automation.summarise(*content)
    assert automation.tick() == ()
    return automation


@pytest.fixture
def ingested(aws: FakeAws, dagster: Dagster) -> Automation:
    """24 months, ingested and summarised."""
    return summarised(Automation(aws, dagster), CONTENT)


@pytest.fixture
def few(aws: FakeAws, dagster: Dagster) -> Automation:
    """Three months, ingested and summarised."""
    return summarised(Automation(aws, dagster), FEW)


@pytest.mark.parametrize("who", ["by_eventbridge", "by_dagster", "refreshed_by_eventbridge", "refreshed_by_dagster"])
def test_two_changed_months_of_24_are_requested_and_no_others_whoever_ingests_them(
    ingested: Automation, who: str
) -> None:
    ingest = getattr(ingested, who)
    ingest(CONTENT)
    assert ingested.tick() == ()
    ingest(CONTENT | TWO)
    assert ingested.tick() == tuple(TWO)
    assert ingested.tick() == ()
    ingested.summarise(*TWO)
    assert ingested.tick() == ()
    ingest(CONTENT | TWO)
    assert ingested.tick() == ()


def test_a_summary_is_in_sync_after_its_month_was_ingested_again_as_it_was(few: Automation, dagster: Dagster) -> None:
    few.by_eventbridge(FEW)
    assert stale(dagster.instance, KEY, "2024-09") == []


def test_a_change_in_the_moment_in_which_a_run_was_requested_or_ended_is_not_lost(few: Automation) -> None:
    few.by_eventbridge(TWO)
    assert few.tick() == tuple(TWO)
    few.by_eventbridge(dict.fromkeys(TWO, "changed again"))
    assert few.tick() == tuple(TWO)
    assert few.tick() == ()
    few.summarise(*TWO)
    few.by_eventbridge(dict.fromkeys(TWO, "and again"))
    assert few.tick() == tuple(TWO)


def test_a_month_that_changes_while_it_is_summarised_is_requested_afterwards(few: Automation) -> None:
    few.by_eventbridge({"2023-05": "changed"})
    assert few.tick() == ("2023-05",)
    end = few.begin_summary("2023-05")
    few.by_eventbridge({"2023-05": "changed again"})
    assert few.tick() == ()
    assert few.tick() == ()
    end()
    assert few.tick() == ("2023-05",)
    assert few.tick() == ()


def test_without_digests_every_month_that_is_ingested_is_requested(few: Automation) -> None:
    for month in FEW:
        few.aws.s3.commit(month, "plain")
    few.aws.sqs.send(notification("SUCCEEDED", "plain", months=tuple(FEW)))
    few.queue.tick()
    assert few.tick() == tuple(FEW)


def test_a_month_that_changes_and_changes_back_between_two_ticks_is_left_alone(few: Automation) -> None:
    few.by_eventbridge(TWO)
    few.by_eventbridge({month: CONTENT[month] for month in TWO})
    assert few.tick() == ()


@pytest.mark.parametrize(
    ("condition", "unchanged", "changed"),
    [
        (Condition.eager(), (), ()),  # it looks at the latest month alone, which is none of these
        (Condition.eager().without(Condition.in_latest_time_window()), tuple(FEW), tuple(FEW)),
        (Condition.any_deps_updated(), tuple(FEW), tuple(FEW)),
        (Condition.any_deps_match(Condition.data_version_changed()), (), tuple(TWO)),  # forgets a month that must wait
    ],
)
def test_other_conditions_request_other_months(
    aws: FakeAws,
    dagster: Dagster,
    condition: Condition[Any],
    unchanged: tuple[str, ...],
    changed: tuple[str, ...],
) -> None:
    automation = Automation(aws, dagster, condition)
    automation.by_eventbridge(FEW)
    automation.tick()
    automation.summarise(*FEW)
    automation.tick()
    automation.by_eventbridge(FEW)
    assert automation.tick() == unchanged
    automation.summarise(*unchanged)
    automation.tick()
    automation.by_eventbridge(FEW | TWO)
    assert automation.tick() == changed


def lines(size: int) -> bytes:
    """A CSV file of the columns of `fakes.manifest` with one row, of so many bytes."""
    begin, end = b'id,questions_list\n7,"', b'"\n'
    return begin + b"x" * (size - len(begin) - len(end)) + end


@pytest.fixture
def both(aws: FakeAws, dagster: Dagster) -> dg.ExecuteInProcessResult:
    """A run that ingests two months and summarises them."""

    def fill() -> None:
        aws.s3.objects |= {key: lines(len(file)) for key, file in aws.s3.objects.items() if key.endswith(".csv")}

    months = MONTHS[:2]
    aws.step_functions.next = FakeExecution(answers=[aws.commits(*months, rows=1, content=CONTENT), fill])
    account = AwsAccount()
    raw_layer = RawLayerResource(account=account, s3=S3Resource())
    definitions = dg.Definitions(
        assets=[raw_layer_asset(table=load_tables()[0]), *summary_assets(load_tables())],
        resources={
            "raw_layer": raw_layer,
            "workflow": IngestionWorkflow(account=account, raw_layer=raw_layer, poll_seconds=0.001),
        },
    )
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[KEY, SUMMARY],  # as in a run that the UI starts
        instance=dagster.instance,
        tags=ranged(*months),
    )


def test_a_run_of_both_ingests_and_summarises_the_same_months(
    both: dg.ExecuteInProcessResult, dagster: Dagster
) -> None:
    assert both.success
    records = dagster.instance.fetch_materializations(SUMMARY, limit=10).records
    assert sorted(str(record.partition_key) for record in records) == list(MONTHS[:2])
    for record in records:
        assert record.asset_materialization
        metadata = record.asset_materialization.metadata
        assert metadata["dagster/partition_row_count"].value == 1
        [number, text] = [row.data for row in metadata["columns"].value.records]  # type: ignore[union-attr]
        assert number | {"column_name": "id", "min": "7", "max": "7", "null_percent": 0.0} == number
        assert (text["column_name"], text["column_type"], text["min"]) == ("questions_list", "VARCHAR", None)


def test_of_a_run_of_both_the_last_month_is_not_requested_and_the_others_once_more(
    aws: FakeAws, dagster: Dagster, request: pytest.FixtureRequest
) -> None:
    automation = Automation(aws, dagster)
    assert request.getfixturevalue("both").success
    assert automation.tick() == MONTHS[:1]  # executed_with_root_target knows the run of the newest materialisation only
    assert automation.tick() == ()


def test_a_month_without_rows_and_a_renamed_date_column_have_a_summary() -> None:
    table = load_tables()[0]
    rows = pa.table({"start_date_time": pa.array([], pa.timestamp("us"))})
    assert summarized(rows, table)["days"].value.records == []  # type: ignore[union-attr]
    assert "days" not in summarized(rows.rename_columns(["elsewhere"]), table)


def test_days_are_those_of_the_table_s_zone() -> None:
    orders = load_tables()[1]
    instants = [datetime(2024, 2, 1, 3), datetime(2024, 1, 31, 12), None]
    rows = pa.table({"placed_at": pa.array(instants, pa.timestamp("us", "UTC"))})
    days = [record.data for record in summarized(rows, orders)["days"].value.records]  # type: ignore[union-attr]
    assert days == [{"day": "2024-01-31", "rows": 2}, {"day": None, "rows": 1}]


def test_an_asset_by_quarter_or_of_all_months_is_requested_when_one_of_its_months_changes(
    aws: FakeAws, dagster: Dagster
) -> None:
    quarters = dg.TimeWindowPartitionsDefinition(
        start="2023-01", end="2025-01", fmt="%Y-%m", cron_schedule="0 0 1 1,4,7,10 *"
    )
    automation = Automation(aws, dagster)
    for partitions, wanted in ((quarters, {"2023-04", "2024-07"}), (None, {None})):
        downstream = dg.AssetSpec("down", deps=[KEY], partitions_def=partitions, automation_condition=CHANGED_MONTHS)
        raw_layer = raw_layer_asset(table=load_tables()[0])
        definitions = dg.Definitions([raw_layer, downstream], resources={"workflow": object()})
        tick = dg.evaluate_automation_conditions(definitions, dagster.instance)
        automation.by_eventbridge(dict.fromkeys(TWO, f"{partitions}"))
        tick = dg.evaluate_automation_conditions(definitions, dagster.instance, cursor=tick.cursor)
        assert tick.get_requested_partitions(dg.AssetKey("down")) == wanted
