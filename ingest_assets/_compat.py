"""The private and preview parts of Dagster that the project uses, each with the change that would end the use.

pyproject.toml keeps Dagster below 1.14. tests/unit/ingest_assets/test_compat.py tests what is used of each, so that a
release that changes one fails there first.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

# The materialisation that a check result is about; Dagster shows a result without it as outdated. Ends when
# `AssetCheckResult` takes a partition in a run over several (https://github.com/dagster-io/dagster/issues/17005).
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as CheckTarget,
)

# The tags in which a materialisation carries its versions. Ends when an event that a step logs gets them from Dagster.
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

# The metadata of an output for which Dagster logs no materialisation. Ends when the output of a run over several
# partitions can be of some of them, or can be left out without skipping the assets downstream.
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

# The type of what `define_asset_job` returns. Ends when dagster exports it.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as UnresolvedAssetJob

# Raised in the step when a run is terminated; a BaseException. Ends when dagster exports it.
from dagster._core.errors import DagsterExecutionInterruptedError as RunTerminatedError

# Reads the results of a check for one partition, with AssetCheckExecutionRecord. Ends with a public method for the
# history of a check (issue 17005).
from dagster._core.event_api import PartitionKeyFilter

# The plan and the events of a run that Dagster did not execute, with SerializableErrorInfo. Ends with a public way to
# report such a run: dagster has one for single events (`report_runless_asset_event`), and tags for Airflow
# (https://github.com/dagster-io/dagster/pull/29810).
from dagster._core.events import (
    AssetObservationData,
    DagsterEvent,
    JobFailureData,
    RunFailureReason,
    StepMaterializationData,
)
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData, UserFailureData
from dagster._core.remote_origin import CodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.snap import ExecutionPlanSnapshot, snapshot_from_execution_plan
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

# Tags of runs, documented one by one at https://docs.dagster.io/guides/build/jobs/run-tags. Ends when dagster exports
# their names.
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    RETRY_ON_ASSET_OR_OP_FAILURE_TAG,
    SENSOR_NAME_TAG,
    WILL_RETRY_TAG,
)
from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "AUTO_RETRY_RUN_ID_TAG",
    "CODE_VERSION_TAG",
    "DATA_VERSION_IS_USER_PROVIDED_TAG",
    "DATA_VERSION_TAG",
    "DEFAULT_DATA_VERSION",
    "NULL_EVENT_POINTER",
    "PARTITION_NAME_TAG",
    "RETRY_NUMBER_TAG",
    "RETRY_ON_ASSET_OR_OP_FAILURE_TAG",
    "SENSOR_NAME_TAG",
    "WILL_RETRY_TAG",
    "AssetCheckExecutionRecord",
    "AssetJob",
    "AssetObservationData",
    "CheckTarget",
    "CodeLocationOrigin",
    "DagsterEvent",
    "JobFailureData",
    "PartitionKeyFilter",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "RunFailureReason",
    "RunTerminatedError",
    "SerializableErrorInfo",
    "StepFailureData",
    "StepMaterializationData",
    "StepSuccessData",
    "UnresolvedAssetJob",
    "UserFailureData",
    "check_output",
    "get_input_data_version_tag",
    "get_input_event_pointer_tag",
    "output_without_event",
    "previews",
]


@contextmanager
def previews() -> Iterator[None]:
    """Silence Dagster's warnings about the preview and beta parts that the project uses.

    The partitions of checks are a preview (issue 17005); code references and observable sources are beta.
    """
    with warnings.catch_warnings():
        for category in (dg.PreviewWarning, dg.BetaWarning):
            warnings.simplefilter("ignore", category)
        yield


def check_output(spec: dg.AssetCheckSpec) -> dg.Output[None]:
    """The output of a check whose results the step has logged as events.

    Without this output the run's log says that the op "did not yield or return expected outputs". Ends with issue
    17005.
    """
    return dg.Output(None, output_name=spec.get_python_identifier())


def output_without_event(asset: dg.AssetKey) -> dg.Output[None]:
    """The output of an asset whose step has logged the materialisations itself, or found nothing to materialise.

    With the output, assets downstream in the same run are executed, which Dagster would skip without it.
    """
    metadata = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
    return dg.Output(None, output_name=asset.to_python_identifier(), metadata=metadata)


@dataclass(frozen=True)
class AssetJob:
    """The job that materialises one asset with some of its checks."""

    definition: dg.JobDefinition
    origin: RemoteJobOrigin | None
    asset: dg.AssetKey

    @classmethod
    def of(
        cls,
        repository: dg.RepositoryDefinition,
        location: CodeLocationOrigin | None,
        asset: dg.AssetKey,
        checks: Collection[str],
    ) -> AssetJob:
        """Take the asset and the checks with these names out of the repository's job of all assets."""
        keys = frozenset(dg.AssetCheckKey(asset, check) for check in checks)
        every = repository.get_implicit_global_asset_job_def()
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, repository.name), every.name) if location else None
        return cls(every.get_subset(asset_selection={asset}, asset_check_selection=keys), origin, asset)

    @cached_property
    def plan(self) -> ExecutionPlanSnapshot:
        """The execution plan, which has one step."""
        return snapshot_from_execution_plan(
            create_execution_plan(self.definition), self.definition.get_job_snapshot_id()
        )

    @property
    def step(self) -> str:
        """The key of the step."""
        [step] = self.plan.step_keys_to_execute
        return step

    def add_run(self, instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> dg.DagsterRun:
        """Add a run that nobody launches, for events that are reported afterwards.

        The run has the plan, which the run's page draws, and the planned events of the partitions in its tags. One tag
        keeps Dagster from retrying the run when its failure is reported.
        """
        return instance.create_run(
            job_name=self.definition.name,
            run_id=run_id,
            run_config={},
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags={**tags, RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"},
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=None,
            execution_plan_snapshot=self.plan,
            job_snapshot=self.definition.get_job_snapshot(),
            parent_job_snapshot=self.definition.get_parent_job_snapshot(),
            asset_selection=frozenset({self.asset}),
            asset_check_selection=None,  # the UI would show the checks in place of the asset
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=self.origin,
            job_code_origin=None,
            asset_graph=self.definition.asset_layer.asset_graph,
        )
