"""Runs in Dagster's history for executions that Dagster did not start, with plan, start, end and events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

import dagster as dg

from ingest_assets._compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    SENSOR_NAME_TAG,
    AssetJob,
    AssetObservationData,
    CodeLocationOrigin,
    DagsterEvent,
    JobFailureData,
    RunFailureReason,
    SerializableErrorInfo,
    StepFailureData,
    StepMaterializationData,
    StepSuccessData,
    UserFailureData,
)
from ingest_assets.asset_keys import raw_layer_key, step_key
from ingest_assets.checks.specs import CHECKS
from ingest_assets.lineage.month_log import Event, Failure
from ingest_assets.metadata import EXECUTION_TAG

_STARTED_BY_TAG = "ingest/started_by"


@dataclass(frozen=True)
class Outcome:
    """What became of a table's months in an execution that has ended. Times are in seconds since 1970.

    A month of None stands for every month of the table. `failure` says why months are missing; it is None if none is.
    """

    table: str
    months: Sequence[str | None]
    execution_arn: str
    started: float
    stopped: float
    failure: Failure | None
    aborted: bool

    @property
    def execution_name(self) -> str:
        """The execution's name."""
        return self.execution_arn.rpartition(":")[2]


@dataclass
class RecordedRun:
    """A run whose events are reported. They get the time `at`, or the current time if it is None."""

    instance: dg.DagsterInstance
    run: dg.DagsterRun
    table: str
    at: float | None = None

    @property
    def finished(self) -> bool:
        """Whether the end of the run has been reported."""
        return self.run.is_finished

    def log(self, event: Event) -> None:
        """Report a materialisation, an observation or the result of a check."""
        if isinstance(event, dg.AssetMaterialization):
            text = f"{self.table} {event.partition} was ingested."
            self._report(dg.DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(event), message=text)
        elif isinstance(event, dg.AssetObservation):
            text = f"{event.asset_key.to_user_string()} was observed."
            self._report(dg.DagsterEventType.ASSET_OBSERVATION, AssetObservationData(event), message=text)
        else:
            verdict = "passed" if event.passed else "did not pass"
            text = f"{event.check_name} {verdict}. {event.description}"
            self._report(dg.DagsterEventType.ASSET_CHECK_EVALUATION, event, message=text)

    def start(self, outcome: Outcome) -> None:
        """Report the start unless it has been reported. Events after it get the time of the execution's end."""
        self.at = outcome.started
        if self.run.status == dg.DagsterRunStatus.NOT_STARTED:
            text = f"Execution {outcome.execution_name} of Step Functions started. Dagster did not start it."
            self._report(dg.DagsterEventType.RUN_START, message=text)
            self._report(dg.DagsterEventType.STEP_START, message=f"Execution {outcome.execution_name} started.")
        self.at = outcome.stopped

    def end(self, outcome: Outcome) -> None:
        """Report the end unless it has been reported."""
        if self.finished:
            return
        if outcome.failure is None:
            done = StepSuccessData(duration_ms=(outcome.stopped - outcome.started) * 1000)  # type: ignore[no-untyped-call]
            self._report(
                dg.DagsterEventType.STEP_SUCCESS, done, message=f"Execution {outcome.execution_name} succeeded."
            )
            self._report(dg.DagsterEventType.RUN_SUCCESS, message="All months are ingested.")
            return
        error = SerializableErrorInfo(outcome.failure.reason, [], "WorkflowError")
        failure = UserFailureData("failure", outcome.failure.reason, dict(outcome.failure.links))  # type: ignore[no-untyped-call]
        data = StepFailureData(error, failure)  # type: ignore[no-untyped-call]
        self._report(dg.DagsterEventType.STEP_FAILURE, data, message=outcome.failure.reason)
        if outcome.aborted:
            self._report(dg.DagsterEventType.RUN_CANCELED, message=outcome.failure.reason)
        else:
            reason = JobFailureData(error, RunFailureReason.STEP_FAILURE)
            self._report(dg.DagsterEventType.RUN_FAILURE, reason, message=outcome.failure.reason)

    def _report(self, kind: dg.DagsterEventType, data: object = None, message: str | None = None) -> None:
        of_run = kind.value.startswith("PIPELINE_")
        event = DagsterEvent(
            event_type_value=kind.value,
            job_name=self.run.job_name,
            message=message,
            step_key=None if of_run else step_key(self.table),
            event_specific_data=data,  # type: ignore[arg-type]  # a union of private classes
        )
        self.instance.report_dagster_event(event, run_id=self.run.run_id, timestamp=self.at)


@dataclass
class RecordedRuns:
    """The runs of executions in the history of `instance`, shown as runs of the assets of `repository`.

    `sensor` is the name of the sensor that records them, to which the UI links.
    """

    instance: dg.DagsterInstance
    repository: dg.RepositoryDefinition
    location: CodeLocationOrigin | None
    sensor: str
    _jobs: dict[str, AssetJob] = field(default_factory=dict)

    def find(self, execution_arn: str, table: str, months: Collection[str | None]) -> RecordedRun | None:
        """The run that was added for these months of the execution, None if there is none."""
        run = self.instance.get_run_by_id(_run_id(execution_arn, table, months))
        return RecordedRun(self.instance, run, table) if run else None

    def add(self, outcome: Outcome) -> RecordedRun:
        """Add a run, which has not started."""
        run_id = _run_id(outcome.execution_arn, outcome.table, outcome.months)
        run = self._job(outcome.table).add_run(self.instance, run_id, self._tags(outcome))
        return RecordedRun(self.instance, run, outcome.table)

    def _job(self, table: str) -> AssetJob:
        if table not in self._jobs:
            self._jobs[table] = AssetJob.of(self.repository, self.location, raw_layer_key(table), CHECKS)
        return self._jobs[table]

    def _tags(self, outcome: Outcome) -> dict[str, str]:
        months = sorted(month for month in outcome.months if month is not None)
        tags = {
            EXECUTION_TAG: outcome.execution_name,
            "ingest/execution_arn": outcome.execution_arn,
            _STARTED_BY_TAG: "Step Functions",
            SENSOR_NAME_TAG: self.sensor,
        }
        if len(months) == 1:
            return {**tags, PARTITION_NAME_TAG: months[0]}
        if months:
            return {**tags, ASSET_PARTITION_RANGE_START_TAG: months[0], ASSET_PARTITION_RANGE_END_TAG: months[-1]}
        return tags


def _run_id(execution_arn: str, table: str, months: Collection[str | None]) -> str:
    """The run's id: always the same for the same table and first month of an execution."""
    first = min((month for month in months if month is not None), default="")
    return str(uuid5(NAMESPACE_URL, f"{execution_arn}/{table}/{first}"))
