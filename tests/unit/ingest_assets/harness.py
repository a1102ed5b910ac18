"""A Dagster instance with the asset of mockrecord, for the tests of the workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData, UserFailureData
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster_aws.s3 import S3Resource

from ingest_assets.assets import raw_layer_asset
from ingest_assets.checks.specs import CHECKS
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.schedules import refresh_job
from ingest_assets.tables import load_tables
from ingest_assets.workflow.resource import IngestionWorkflow

KEY = dg.AssetKey(["raw_layer", "mockrecord"])
TABLE = load_tables()[0]


class Dagster:
    """Materialises the months of mockrecord and tells what its event log holds."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.run_id = ""

    def materialize(self, first: str, last: str | None = None, **settings: Any) -> dg.ExecuteInProcessResult:
        return self._run(ranged(first, last or first), dg.AssetSelection.assets(KEY), settings)

    def materialize_changed(self, first: str, last: str) -> dg.ExecuteInProcessResult:
        """What *Materialize* does with `refresh: true` in the Launchpad."""
        return self._run(ranged(first, last), dg.AssetSelection.assets(KEY), {}, {"refresh": True})

    def refresh(self, first: str | None = None, last: str | None = None, **settings: Any) -> dg.ExecuteInProcessResult:
        """A run of the job refresh_mockrecord, of every month without a range."""
        tags = {} if first is None else ranged(first, last or first)
        job = dg.Definitions(
            [raw_layer_asset(table=TABLE)], jobs=[refresh_job(table=TABLE)], resources={"workflow": _workflow(settings)}
        )
        result = job.resolve_job_def("refresh_mockrecord").execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )
        self.run_id = result.run_id
        return result

    def check(self, first: str | None = None, last: str | None = None) -> dg.ExecuteInProcessResult:
        """The checks alone."""
        tags = {} if first is None else ranged(first, last or first)
        every_month = dg.AssetSelection.checks(*(dg.AssetCheckKey(KEY, name) for name in CHECKS))
        return self._run(tags, every_month, {})

    def check_up_to_date(self) -> dg.ExecuteInProcessResult:
        """The check of the table alone."""
        return self._run({}, dg.AssetSelection.checks(dg.AssetCheckKey(KEY, "up_to_date")), {})

    def _run(
        self,
        tags: Mapping[str, str],
        selection: dg.AssetSelection,
        settings: Mapping[str, Any],
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        result = dg.materialize(
            [raw_layer_asset(table=TABLE)],
            resources={"workflow": _workflow(settings)},
            selection=selection,
            instance=self.instance,
            tags=tags,
            run_config={"ops": {"raw_layer__mockrecord": {"config": config}}} if config else None,
            raise_on_error=False,
        )
        self.run_id = result.run_id
        return result

    def months(self) -> dict[str, dict[str, Any]]:
        """The metadata of each month that was materialised, by the latest event."""
        records = self.instance.fetch_materializations(KEY, limit=100).records
        events = [record.asset_materialization for record in reversed(records)]
        return {event.partition or "": dict(event.metadata) for event in events if event}

    def entries(self) -> Sequence[dg.EventLogEntry]:
        return self.instance.all_logs(self.run_id)

    def log(self) -> list[str]:
        return [entry.user_message for entry in self.entries()]

    def checks(self, month: str | None) -> dict[str, bool]:
        """The newest result of each check of the month, those that it has; of the asset for None."""
        found = {}
        for check in CHECKS:
            key = dg.AssetCheckKey(KEY, check)
            history = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
            for record in reversed(history):
                if record.partition == month and isinstance(record.evaluation, dg.AssetCheckEvaluation):
                    found[check] = record.evaluation.passed
        return found

    def failed_step(self) -> StepFailureData:
        [failed] = self.instance.all_logs(self.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        return failed.get_dagster_event().step_failure_data

    def up_to_date(self) -> list[tuple[bool, str]]:
        """The results of the check of the table, the newest first."""
        key = dg.AssetCheckKey(KEY, "up_to_date")
        records = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        found = [record.evaluation for record in records]
        return [(done.passed, done.description or "") for done in found if isinstance(done, dg.AssetCheckEvaluation)]

    def observations(self) -> list[dg.AssetObservation]:
        """The observations of the raw layer, the newest first."""
        records = self.instance.fetch_observations(KEY, limit=100).records
        return [record.asset_observation for record in records if record.asset_observation]

    def failed_months(self) -> set[str]:
        """The months that Dagster's pages show as failed."""
        partitions = monthly_partitions(TABLE)
        cached = get_and_update_asset_status_cache_value(self.instance, KEY, partitions)
        return set(cached.deserialize_failed_partition_subsets(partitions).get_partition_keys()) if cached else set()

    def interrupted(self) -> bool:
        error = self.failed_step().error
        return error is not None and error.cls_name == "DagsterExecutionInterruptedError"

    def failure(self) -> UserFailureData:
        data = self.failed_step().user_failure_data
        assert data
        return data

    def failure_text(self) -> str:
        return self.failure().description or ""


def _workflow(settings: Mapping[str, Any]) -> IngestionWorkflow:
    account = AwsAccount()
    raw_layer = RawLayerResource(account=account, s3=S3Resource())
    return IngestionWorkflow(account=account, raw_layer=raw_layer, **{"poll_seconds": 0.001, **settings})


def ranged(first: str, last: str) -> dict[str, str]:
    """The tags of a run over the months from `first` to `last`."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def value(metadata: Mapping[str, Any], key: str) -> Any:
    """The plain value of an entry of an event's metadata."""
    return metadata[key].value
