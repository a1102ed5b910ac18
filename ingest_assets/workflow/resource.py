"""The ingestion workflow: one execution of the state machine per Dagster run and table, followed to its end.

A run of several months is one execution and one Spark job. What is promised: a run that succeeds has a manifest of
its execution for each of its months; a run that fails says which months were committed all the same; a run that is
terminated leaves no execution, job run or application of its own behind. Not promised: that a run which loses the
connection to AWS for good stops its execution, which then ends by its own time limits.
"""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

from ingest_assets._compat import RunTerminatedError
from ingest_assets.aws import job_runs
from ingest_assets.aws.console_links import driver_log_key, execution_url, job_output_key
from ingest_assets.aws.cost import LIST_PRICES, Prices, Usage, by_month, usage
from ingest_assets.aws.errors import AwsError, aws_errors
from ingest_assets.aws.executions import Execution, StateChange, follow
from ingest_assets.aws.job_runs import JobRun
from ingest_assets.metadata import IngestedMonth, execution_metadata, month_metadata
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.tables import check_request
from ingest_assets.workflow.failures import Evidence, WorkflowError
from ingest_assets.workflow.forecast import Forecast, forecast
from ingest_assets.workflow.reattach import Attempt, choose, execution_name, first_run_id
from spark_scripts.contract.errors import DataLakeError, IngestionError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.wording import counted, spans

EXECUTION_TAG = "ingest/execution"
"""The tag of a run, and of a materialisation that the queue told of, that names the execution."""

_GLANCE_SECONDS = 5.0  # between two looks at the job's progress and at which months are committed
_JOB_BEGINS = "EMR Serverless StartJobRun"
_JOB_HAS_ENDED = "EMR Serverless StopApplication"  # the state of the state machine that follows the job run


@dataclass(frozen=True)
class _Order:
    """What is wanted, by whom, and the execution that does it."""

    context: dg.AssetExecutionContext
    table: str
    months: tuple[str, ...]
    attempt: Attempt


class IngestionWorkflow(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """Starts the state machine and follows it."""

    account: dg.ResourceDependency[AwsAccount]
    raw_layer: dg.ResourceDependency[RawLayer]
    state_machine_arn: str | None = Field(default=None, description="Default: the stack's output.")
    application_id: str | None = Field(
        default=None, description="A kept EMR Serverless application. Default: one is made for each execution."
    )
    poll_seconds: float = Field(default=2.0, gt=0, description="Between two looks at the execution.")
    outage_minutes: float = Field(default=2.0, ge=0, description="How long AWS may be away before the run gives up.")
    deadline_minutes: float = Field(default=36 * 60.0, gt=0, description="An execution is terminated after this time.")
    # us-east-1, x86_64, of https://aws.amazon.com/emr/pricing/
    usd_per_vcpu_hour: float = Field(
        default=LIST_PRICES.vcpu_hour, ge=0, description="Price of EMR Serverless in your region."
    )
    usd_per_gb_hour: float = Field(
        default=LIST_PRICES.gb_hour, ge=0, description="Price of EMR Serverless in your region."
    )

    def run(
        self,
        *,
        context: dg.AssetExecutionContext,
        table: str,
        months: Sequence[str],
        on_termination: Callable[[Sequence[IngestedMonth]], None],
    ) -> list[IngestedMonth]:
        """Ingest these months of the table in one execution; what came of each, in their order.

        Raises WorkflowError when the execution did not do all of it, another DataLakeError when it could not be
        started or followed. When Dagster terminates the run, terminates the execution and calls `on_termination` with
        the months that were committed before.
        """
        order = self._order(context, table, months)
        expected = None
        if order.attempt.found is None:
            self._check(table, months)
            expected = forecast(
                self.account, self.raw_layer, order.attempt.state_machine_arn, self._prices, table, months
            )
            context.log.info(expected.sentence)
        progress = _Progress(order, self.raw_layer, lambda: self._usage(order, self._job_run(order)))
        try:
            self._start(order)
            execution = self._wait_for_completion(order, progress)
        except RunTerminatedError:
            self._terminate(order, f"Dagster run {context.run.run_id} was terminated")
            on_termination(self._ingested_before(order, self._evidence(order, None).job_run, progress.usage))
            raise
        ingested = self._extract_months(order, execution, progress.usage)
        return self._compared(ingested, expected, execution, progress.usage)

    @property
    def _prices(self) -> Prices:
        return Prices(self.usd_per_vcpu_hour, self.usd_per_gb_hour)

    def _compared(
        self, months: list[IngestedMonth], expected: Forecast | None, execution: Execution, used: Usage | None
    ) -> list[IngestedMonth]:
        """The months, with how far the estimate for their execution was off."""
        if expected is None:
            return months
        off = expected.compared(execution, used.usd(self._prices) if used else None)
        return [replace(month, metadata={**month.metadata, **off}) for month in months]

    def _check(self, table: str, months: Sequence[str]) -> None:
        """Refuse what the job would refuse, before an application costs time and money."""
        document = self.raw_layer.deployed_tables()
        if document is None:
            raise IngestionError("no tables are deployed: run `python -m aws_setup deploy`")
        check_request({"table": table, "months": list(months)}, document, datetime.now(UTC))

    def _order(self, context: dg.AssetExecutionContext, table: str, months: Sequence[str]) -> _Order:
        run_id = first_run_id(context.instance, context.run)
        with aws_errors("looking for the execution"):
            attempt = choose(
                self.account.step_functions(),
                self.state_machine_arn or self.account.outputs().state_machine_arn,
                lambda number: execution_name(run_id, table, months, number),
            )
        return _Order(context, table, tuple(sorted(months)), attempt)

    def _start(self, order: _Order) -> None:
        name, link = order.attempt.name, execution_url(order.attempt.arn)
        if order.attempt.found is None:
            self._start_execution(order)
            order.context.log.info(f"Started execution {name}: {link}")
        else:
            order.context.log.info(f"Going on with execution {name}, which is {order.attempt.found.status}: {link}")
        order.context.instance.add_run_tags(order.context.run.run_id, {EXECUTION_TAG: name})

    def _start_execution(self, order: _Order) -> None:
        request = {"table": order.table, "months": order.months, "requested_by": order.context.run.run_id}
        if self.application_id:
            request["application_id"] = self.application_id
        name = order.attempt.name
        with aws_errors(f"starting execution {name}"):
            self.account.step_functions().start_execution(
                stateMachineArn=order.attempt.state_machine_arn, name=name, input=json.dumps(request)
            )

    def _wait_for_completion(self, order: _Order, progress: "_Progress") -> Execution:
        """Follow the execution to its end. Raises WorkflowError after the deadline, AwsError after an outage.

        Raises IngestionError when Dagster has given up the run, whose worker may have died without this process of
        its step: then an automatic retry follows the same execution, and it alone records the months.
        """
        started = last_answer = time.monotonic()
        while time.monotonic() - started < self.deadline_minutes * 60:
            try:
                execution = self._follow(order, progress)
                progress.tell_job()
                progress.tell_months()
            except AwsError as error:
                away = time.monotonic() - last_answer
                if not error.transient or away > self.outage_minutes * 60:
                    raise
                order.context.log.warning(f"{error} Trying again.")
                time.sleep(self.poll_seconds)
                continue
            _check_run(order)
            if execution is not None:
                return execution
            last_answer = time.monotonic()
        verdict = f"was terminated because it ran for more than {self.deadline_minutes:g} minutes"
        self._terminate(order, f"The execution {verdict}")
        raise self._failure(order, verdict)

    def _follow(self, order: _Order, progress: "_Progress") -> Execution | None:
        """Follow the execution for a while; None when it runs on."""
        with aws_errors(f"following execution {order.attempt.name}"):
            try:
                return follow(
                    self.account.step_functions(),
                    order.attempt.arn,
                    progress.tell_state,
                    poll_seconds=self.poll_seconds,
                    deadline_seconds=_GLANCE_SECONDS,
                )
            except TimeoutError:
                return None

    def _terminate(self, order: _Order, cause: str) -> None:
        """Stop all that the execution runs. What cannot be stopped is told only: the caller has an error to raise."""
        log = order.context.log
        log.warning(f"Terminating execution {order.attempt.name}: {cause}")
        try:
            job_runs.terminate(
                self.account.step_functions(), self.account.emr_serverless(), order.attempt.arn, cause=cause
            )
        except (ClientError, BotoCoreError, TimeoutError) as error:
            log.error(f"Not all of execution {order.attempt.name} could be stopped: {error}")
        else:
            log.info(f"Terminated execution {order.attempt.name}, its job run and its application.")

    def _extract_months(self, order: _Order, execution: Execution, used: Usage | None) -> list[IngestedMonth]:
        if execution.status != "SUCCEEDED":
            raise self._failure(order, f"is {execution.status}", execution, used)
        manifests = self.raw_layer.left_by(order.table, order.months, order.attempt.name)
        missing = [month for month in order.months if month not in manifests]
        if missing:
            raise self._failure(order, f"is SUCCEEDED but left no manifest of {', '.join(missing)}", execution, used)
        return self._ingested(order, manifests, self._evidence(order, execution).job_run, used)

    def _failure(
        self, order: _Order, verdict: str, execution: Execution | None = None, used: Usage | None = None
    ) -> WorkflowError:
        """The error of an execution, with all that is known of the reason."""
        evidence = self._evidence(order, execution)
        committed = self._ingested_before(order, evidence.job_run, used)
        headline = f"Execution {order.attempt.name} {verdict}"
        text = [headline, *evidence.lines()]
        if len(order.months) > 1:
            done = spans(month.manifest.month for month in committed) or "none"
            text.insert(1, f"Committed all the same: {done} of {counted(len(order.months), 'month')}")
        bucket = self.raw_layer.bucket_name()
        return WorkflowError(
            "\n".join(text),
            execution_name=order.attempt.name,
            summary=f"{headline}: {evidence.reason() or 'no reason is known'}",
            committed=committed,
            links=execution_metadata(order.attempt.arn, bucket=bucket, job_run=evidence.job_run),
        )

    def _ingested_before(self, order: _Order, job_run: JobRun | None, used: Usage | None) -> list[IngestedMonth]:
        """The months that an execution committed before it failed; none when they cannot be read: it must be told."""
        try:
            manifests = self.raw_layer.committed(order.table, order.months, order.attempt.name)
        except DataLakeError as error:
            order.context.log.warning(str(error))
            return []
        return self._ingested(order, manifests, job_run, used)

    def _evidence(self, order: _Order, execution: Execution | None) -> Evidence:
        """What history and log tell; less of it when AWS does not answer, for the failure itself must be told."""
        evidence = Evidence(execution)
        try:
            job_run = self._job_run(order)
            evidence = Evidence(execution, job_run)
            if job_run is None or job_run.job_run_id is None or (execution and execution.status == "SUCCEEDED"):
                return evidence
            ids = job_run.application_id, job_run.job_run_id
            keys = driver_log_key(*ids), job_output_key(*ids)
            return Evidence(execution, job_run, {self.raw_layer.uri(key): self.raw_layer.log_end(key) for key in keys})
        except AwsError as error:
            order.context.log.warning(str(error))
            return evidence

    def _ingested(
        self, order: _Order, manifests: Mapping[str, Manifest], job_run: JobRun | None, used: Usage | None
    ) -> list[IngestedMonth]:
        """The months with their metadata, and with their shares of what the job run cost, where that is known."""
        total = self._usage(order, job_run) or used
        shares = by_month(total, manifests.values()) if total else {}
        bucket, arn = self.raw_layer.bucket_name(), order.attempt.arn
        ingested = []
        for month, manifest in manifests.items():
            metadata = month_metadata(manifest, bucket=bucket, execution_arn=arn, job_run=job_run)
            cost = shares[month].metadata(self._prices) if month in shares else {}
            ingested.append(IngestedMonth(manifest, {**metadata, **cost}))
        return ingested

    def _job_run(self, order: _Order) -> JobRun | None:
        with aws_errors(f"reading the history of {order.attempt.name}"):
            return job_runs.find(self.account.step_functions(), order.attempt.arn)

    def _usage(self, order: _Order, job_run: JobRun | None) -> Usage | None:
        """What the job run has used; None where that is not known, for the months have been ingested all the same."""
        if job_run is None or job_run.job_run_id is None:
            return None
        try:
            with aws_errors(f"reading the usage of job run {job_run.job_run_id}"):
                return usage(self.account.emr_serverless(), job_run.application_id, job_run.job_run_id)
        except AwsError as error:
            order.context.log.warning(str(error))
            return None


def _check_run(order: _Order) -> None:
    run = order.context.instance.get_run_by_id(order.context.run.run_id)
    if run is None or not run.is_finished:
        return
    if run.status == dg.DagsterRunStatus.CANCELED:  # by force, without waiting for this process
        raise RunTerminatedError
    raise IngestionError(f"The run is {run.status.value} already: execution {order.attempt.name} is left to its retry.")


class _Progress:
    """Tells the run's log what the execution does: each state and each line of the job once, each month when committed.

    `usage` is that of the job run, looked up when it has ended: EMR Serverless forgets it with the application.
    """

    def __init__(self, order: _Order, raw_layer: RawLayer, usage: Callable[[], Usage | None]) -> None:
        self.usage: Usage | None = None
        self._order = order
        self._raw_layer = raw_layer
        self._look_up_usage = usage
        self._last_event = 0
        self._said = 0
        self._summary = ""
        self._waiting = list(order.months)

    def tell_state(self, change: StateChange) -> None:
        if change.event_id > self._last_event:
            tell = self._order.context.log.warning if change.failed else self._order.context.log.info
            tell(change.text)
            self._last_event = change.event_id
            if change.state == _JOB_BEGINS:
                self._order.context.log.info(
                    f"To open its Spark UI: python -m aws_setup dashboard {self._order.attempt.name}"
                )
            if change.state == _JOB_HAS_ENDED:
                self.usage = self._look_up_usage()

    def tell_job(self) -> None:
        """What the Spark job has said since the last look, and how far it has come."""
        found = self._raw_layer.progress(self._order.attempt.name)
        if found is None:
            return
        for line in found.new_lines(self._said):
            self._order.context.log.info(f"Spark job: {line}")
        self._said = found.said
        if found.reading and found.summary() != self._summary:
            self._summary = found.summary()
            self._order.context.log.info(f"Spark job: {self._summary}")

    def tell_months(self) -> None:
        """The job commits the months in their order, so that the first that is not yet there ends the look."""
        while self._waiting:
            month = self._waiting[0]
            found = self._raw_layer.committed(self._order.table, [month], self._order.attempt.name)
            if not found:
                return
            manifest = found[month]
            self._order.context.log.info(
                f"{month}: {counted(manifest.rows, 'row')}, {counted(manifest.bytes, 'byte')}, {manifest.seconds:.1f} s"
            )
            del self._waiting[0]
