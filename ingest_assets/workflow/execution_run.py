"""One execution of the state machine for one Dagster run and table, followed to its end.

A run of several months is one execution and one Spark job. Promised: a run that succeeds has a manifest of its
execution for each of its months, and as a refresh for each that has changed; a run that fails says which months were
committed before; a run that is terminated leaves no execution, job run or application of its own behind. Not promised:
a run that loses the connection to AWS for good does not stop its execution, which then ends by its own time limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError

from ingest_assets._compat import RunTerminatedError
from ingest_assets.aws import job_runs
from ingest_assets.aws.console_links import driver_log_key, execution_url, job_output_key
from ingest_assets.aws.cost import Prices, Usage, by_month, usage
from ingest_assets.aws.errors import AwsError, aws_errors
from ingest_assets.aws.executions import STATE_AFTER_JOB, Execution, StateChange, follow
from ingest_assets.aws.job_runs import ExecutionJob
from ingest_assets.aws.waiting import Deadline, polls
from ingest_assets.metadata import EXECUTION_TAG, IngestedMonth, Metadata, execution_metadata, month_metadata
from ingest_assets.tables import check_request
from ingest_assets.workflow.failures import Evidence, WorkflowError
from ingest_assets.workflow.forecast import Forecast, forecast
from ingest_assets.workflow.ingested import Ingested
from ingest_assets.workflow.reattach import Attempt, choose, execution_name, first_run_id
from ingest_assets.workflow.run_log import RunLog
from spark_scripts.contract.errors import DataLakeError, IngestionError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.wording import counted, spans

if TYPE_CHECKING:
    from ingest_assets.aws.raw_layer import RawLayer
    from ingest_assets.resources.account import AwsAccount

_GLANCE_SECONDS = 5.0  # between two looks at the job's progress and at which months are committed


@dataclass(frozen=True)
class Order:
    """What a Dagster run asks for: months of a table, in their order, of a `refresh` those of them that have changed.

    A refresh without months is of every month of the table, those outside Dagster's partitions included.
    """

    context: dg.AssetExecutionContext
    table: str
    months: tuple[str, ...]
    refresh: bool = False

    def request(self) -> dict[str, object]:
        """The execution's input."""
        refresh = {"refresh": True} if self.refresh else {}
        return {**refresh, "table": self.table, **({"months": list(self.months)} if self.months else {})}


@dataclass(frozen=True)
class Settings:
    """How executions are started and followed; IngestionWorkflow explains each. Times are in seconds."""

    state_machine_arn: str
    application_id: str | None
    poll_seconds: float
    outage_seconds: float
    deadline_seconds: float
    prices: Prices


class ExecutionRun:
    """Starts or re-attaches to an execution, follows it, and collects what it ingested."""

    def __init__(
        self, order: Order, attempt: Attempt, account: AwsAccount, raw_layer: RawLayer, settings: Settings
    ) -> None:
        self._order = order
        self._context = order.context
        self._table = order.table
        self._attempt = attempt
        self._account = account
        self._raw_layer = raw_layer
        self._settings = settings
        months = None if order.refresh else order.months
        self._log = RunLog(order.context.log, raw_layer, attempt.name, order.table, months)
        self._used: Usage | None = None
        """What the job run has used, read when it ended: EMR Serverless forgets it with the application."""

    @classmethod
    def prepare(cls, order: Order, account: AwsAccount, raw_layer: RawLayer, settings: Settings) -> ExecutionRun:
        """Find the execution that the Dagster run has to go on with, or name a new one. Raises AwsError."""
        run_id = first_run_id(order.context.instance, order.context.run)
        with aws_errors("looking for the execution"):
            attempt = choose(
                account.step_functions(),
                settings.state_machine_arn,
                lambda number: execution_name(run_id, order.table, order.months, number),
            )
        return cls(order, attempt, account, raw_layer, settings)

    def run(self, on_termination: Callable[[Ingested], None]) -> Ingested:
        """Bring the execution to its end and return what it ingested.

        Raises WorkflowError when the execution did not ingest every month, another DataLakeError when it could not be
        started or followed. When Dagster terminates the run, terminates the execution and calls `on_termination` with
        what was committed before.
        """
        expected = self._forecast() if self._attempt.found is None else None
        try:
            self._start()
            execution = self._wait_for_completion()
        except RunTerminatedError:
            self._terminate(f"Dagster run {self._context.run.run_id} was terminated")
            on_termination(self._committed(self._evidence(None).job_run))
            raise
        return self._extract(execution, expected)

    def _forecast(self) -> Forecast | None:
        """Refuse what the job would refuse, and log what the execution will probably take and cost.

        What a refresh takes depends on how much has changed, so that it has no estimate.
        """
        self._check()
        if self._order.refresh:
            months = self._order.months
            looked_at = counted(len(months), "month") if months else "every month"
            self._context.log.info(f"Looking at {looked_at} of {self._table}, to ingest those that have changed")
            return None
        machine, prices = self._attempt.state_machine_arn, self._settings.prices
        expected = forecast(self._account, self._raw_layer, machine, prices, self._table, self._order.months)
        self._context.log.info(expected.sentence)
        return expected

    def _check(self) -> None:
        """Refuse what the job would refuse, before an application costs time and money."""
        check_request(self._order.request(), self._raw_layer.deployed_tables(), datetime.now(UTC))

    def _start(self) -> None:
        name, link = self._attempt.name, execution_url(self._attempt.arn)
        if self._attempt.found is None:
            self._start_execution()
            self._context.log.info(f"Started execution {name}: {link}")
        else:
            self._context.log.info(f"Re-attached to execution {name}, which is {self._attempt.found.status}: {link}")
        self._context.instance.add_run_tags(self._context.run.run_id, {EXECUTION_TAG: name})

    def _start_execution(self) -> None:
        request = {**self._order.request(), "requested_by": self._context.run.run_id}
        if self._settings.application_id:
            request["application_id"] = self._settings.application_id
        name = self._attempt.name
        with aws_errors(f"starting execution {name}"):
            self._account.step_functions().start_execution(
                stateMachineArn=self._attempt.state_machine_arn, name=name, input=json.dumps(request)
            )

    def _wait_for_completion(self) -> Execution:
        """Follow the execution to its end. Raises WorkflowError after the deadline, AwsError after an outage.

        Raises IngestionError when Dagster has given up the run although its step still runs here: an automatic retry
        then follows the same execution, and it alone records the months.
        """
        outage = Deadline(self._settings.outage_seconds)
        for _ in polls(seconds=self._settings.deadline_seconds, pause=self._settings.poll_seconds):
            try:
                execution = self._follow()
                self._log.report_job()
                self._log.report_months()
            except AwsError as error:
                if not error.transient or outage.passed:
                    raise
                self._context.log.warning(f"{error}. Trying again.")
                continue
            self._check_run()
            if execution is not None:
                return execution
            outage = Deadline(self._settings.outage_seconds)
        verdict = f"was terminated because it ran for more than {self._settings.deadline_seconds / 60:g} minutes"
        self._terminate(f"The execution {verdict}")
        raise self._failure(verdict)

    def _follow(self) -> Execution | None:
        """Follow the execution for a few seconds; None when it still runs then."""
        with aws_errors(f"following execution {self._attempt.name}"):
            try:
                return follow(
                    self._account.step_functions(),
                    self._attempt.arn,
                    self._on_change,
                    poll_seconds=self._settings.poll_seconds,
                    deadline_seconds=_GLANCE_SECONDS,
                )
            except TimeoutError:
                return None

    def _on_change(self, change: StateChange) -> None:
        if self._log.report_change(change) and change.state == STATE_AFTER_JOB:
            self._used = self._usage(self._job_run())

    def _check_run(self) -> None:
        run = self._context.instance.get_run_by_id(self._context.run.run_id)
        if run is None or not run.is_finished:
            return
        if run.status == dg.DagsterRunStatus.CANCELED:  # by force, without waiting for this process
            raise RunTerminatedError
        raise IngestionError(
            f"Dagster has ended this run as {run.status.value}: its automatic retry follows execution"
            f" {self._attempt.name}."
        )

    def _terminate(self, cause: str) -> None:
        """Stop all that the execution runs. Logs what cannot be stopped, because the caller has an error to raise."""
        name, log = self._attempt.name, self._context.log
        log.warning(f"Terminating execution {name}: {cause}")
        try:
            job_runs.terminate(
                self._account.step_functions(), self._account.emr_serverless(), self._attempt.arn, cause=cause
            )
        except (ClientError, BotoCoreError, TimeoutError) as error:
            log.error(f"Could not stop every part of execution {name}: {error}")
        else:
            log.info(f"Terminated execution {name}, its job run and its application.")

    def _extract(self, execution: Execution, expected: Forecast | None) -> Ingested:
        """What was ingested, with the estimate's error. Raises WorkflowError when months are missing."""
        if execution.status != "SUCCEEDED":
            raise self._failure(f"is {execution.status}", execution)
        found = self._found()
        if self._order.refresh and found is None:
            raise self._failure(f"is SUCCEEDED but did not say what has changed in {self._table}", execution)
        wanted = self._wanted(found)
        manifests = self._raw_layer.left_by(self._table, wanted, self._attempt.name)
        missing = [month for month in wanted if month not in manifests]
        if missing:
            raise self._failure(f"is SUCCEEDED but left no manifest of {', '.join(missing)}", execution)
        job_run = self._evidence(execution).job_run
        months = self._ingested(manifests, job_run)
        if expected is not None:
            total = self._total(job_run)
            error = expected.compared(execution, total.usd(self._settings.prices) if total else None)
            months = [replace(month, metadata={**month.metadata, **error}) for month in months]
        return Ingested(months, found, {**self._links(job_run), **self._cost(job_run)})

    def _failure(self, verdict: str, execution: Execution | None = None) -> WorkflowError:
        """The error of the execution, with all that is known of the reason."""
        evidence = self._evidence(execution)
        ingested = self._committed(evidence.job_run)
        headline = f"Execution {self._attempt.name} {verdict}"
        text = [headline, *evidence.lines()]
        wanted = self._wanted(ingested.found)
        if len(wanted) > 1:
            done = spans(month.manifest.month for month in ingested.months) or "none"
            text.insert(1, f"Committed before the failure: {done} of {counted(len(wanted), 'month')}")
        return WorkflowError(
            "\n".join(text),
            execution_name=self._attempt.name,
            summary=f"{headline}: {evidence.reason() or 'no reason is known'}",
            ingested=ingested,
        )

    def _found(self) -> Refresh | None:
        """What the execution has found as a refresh. Raises AwsError or DocumentError."""
        return self._raw_layer.refresh(self._attempt.name, self._table) if self._order.refresh else None

    def _wanted(self, found: Refresh | None) -> Sequence[str]:
        """The months that the execution has to ingest, as far as they are known."""
        if not self._order.refresh:
            return self._order.months
        return [] if found is None else found.to_ingest()

    def _committed(self, job_run: ExecutionJob | None) -> Ingested:
        """What the execution committed before it ended; nothing when that cannot be read.

        The failure itself must be reported, so that a bucket that cannot be read is a warning only.
        """
        links = self._links(job_run)
        try:
            found = self._found()
            manifests = self._raw_layer.committed(self._table, self._wanted(found), self._attempt.name)
        except DataLakeError as error:
            self._context.log.warning(str(error))
            return Ingested(links=links)
        return Ingested(self._ingested(manifests, job_run), found, links)

    def _links(self, job_run: ExecutionJob | None) -> Metadata:
        return execution_metadata(self._attempt.arn, bucket=self._raw_layer.bucket_name(), job_run=job_run)

    def _evidence(self, execution: Execution | None) -> Evidence:
        """What history and logs say of a failure; less when AWS does not answer, so that the failure is reported."""
        evidence = Evidence(execution)
        try:
            job_run = self._job_run()
            evidence = Evidence(execution, job_run)
            if job_run is None or job_run.job_run_id is None or (execution and execution.status == "SUCCEEDED"):
                return evidence
            ids = job_run.application_id, job_run.job_run_id
            keys = driver_log_key(*ids), job_output_key(*ids)
            logs = {self._raw_layer.uri(key): self._raw_layer.log_end(key) for key in keys}
            return Evidence(execution, job_run, logs)
        except AwsError as error:
            self._context.log.warning(str(error))
            return evidence

    def _ingested(self, manifests: Mapping[str, Manifest], job_run: ExecutionJob | None) -> list[IngestedMonth]:
        """The months with their metadata, and with their shares of what the job run cost if that is known."""
        total = self._total(job_run)
        shares = by_month(total, manifests.values()) if total else {}
        bucket, arn = self._raw_layer.bucket_name(), self._attempt.arn
        ingested = []
        for month, manifest in manifests.items():
            metadata = month_metadata(manifest, bucket=bucket, execution_arn=arn, job_run=job_run)
            cost = shares[month].metadata(self._settings.prices) if month in shares else {}
            ingested.append(IngestedMonth(manifest, {**metadata, **cost}))
        return ingested

    def _cost(self, job_run: ExecutionJob | None) -> Metadata:
        """What the job run cost, if that is known."""
        total = self._total(job_run)
        return total.metadata(self._settings.prices) if total else {}

    def _total(self, job_run: ExecutionJob | None) -> Usage | None:
        """What the job run is billed for, or had used when it ended."""
        return self._usage(job_run) or self._used

    def _job_run(self) -> ExecutionJob | None:
        with aws_errors(f"reading the history of {self._attempt.name}"):
            return job_runs.find(self._account.step_functions(), self._attempt.arn)

    def _usage(self, job_run: ExecutionJob | None) -> Usage | None:
        """What the job run has used. None if that is not known, because the months have been ingested nevertheless."""
        if job_run is None or job_run.job_run_id is None:
            return None
        try:
            with aws_errors(f"reading the usage of job run {job_run.job_run_id}"):
                return usage(self._account.emr_serverless(), job_run.application_id, job_run.job_run_id)
        except AwsError as error:
            self._context.log.warning(str(error))
            return None
