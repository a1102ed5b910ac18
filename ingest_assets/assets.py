"""The raw layer assets: one for each table, ingested month by month."""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

import traceback
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from pydantic import Field

from ingest_assets._compat import check_output, output_without_event, previews
from ingest_assets.asset_keys import RAW_LAYER, raw_layer_key, refresh_job_name, source_key, step_key
from ingest_assets.aws.errors import AwsError
from ingest_assets.checks.specs import CHECKS, check_specs
from ingest_assets.checks.up_to_date import UP_TO_DATE, up_to_date_spec
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.lineage.month_log import Failure, MonthLog
from ingest_assets.lineage.refresh_log import check_up_to_date, observe
from ingest_assets.metadata import IngestedMonth
from ingest_assets.partitions import monthly_partitions
from ingest_assets.tables import TableSpec, tables_path
from ingest_assets.versions import code_version
from ingest_assets.workflow.failures import WorkflowError
from ingest_assets.workflow.ingested import Ingested
from ingest_assets.workflow.resource import IngestionWorkflow
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.wording import spans


class IngestConfig(dg.Config):
    """What the Launchpad offers for a run of a raw layer."""

    refresh: bool = Field(
        default=False,
        description="Ingest only those months whose rows in PostgreSQL have changed since they were ingested.",
    )


def raw_layer_asset(*, table: TableSpec) -> dg.AssetsDefinition:
    """The raw layer of a table: one partition per month. A run of any range of months is one execution.

    The pool lets a second run of the table wait, which the job's own lock would fail.
    """
    spec = _raw_layer_spec(table)
    checks = [*check_specs(table, spec.key), up_to_date_spec(spec.key)]

    @dg.multi_asset(
        name=step_key(table.name),
        specs=[spec],
        check_specs=checks,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{RAW_LAYER}_{table.name}",
    )
    def ingest(
        context: dg.AssetExecutionContext, config: IngestConfig, workflow: IngestionWorkflow
    ) -> Iterator[dg.Output[None]]:
        selected = [check for check in checks if check.key in context.selected_asset_check_keys]
        names = {check.name for check in selected}
        step = _Step(context, workflow, table, [name for name in CHECKS if name in names], UP_TO_DATE in names)
        if spec.key not in context.selected_asset_keys:
            step.check_again()
        else:
            refresh = config.refresh or context.job_name == refresh_job_name(table.name)
            (step.refresh if refresh else step.ingest)()
            yield output_without_event(spec.key)
        yield from map(check_output, selected)

    return ingest


def _raw_layer_spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_layer_key(table.name),
        deps=[source_key(table)],
        code_version=code_version(table),
        description=table.description,
        group_name=RAW_LAYER,
        kinds={"s3", table.format, "pyspark"},
        owners=table.owners,
        tags={"layer": "raw"},
        partitions_def=monthly_partitions(table),
        metadata={
            "source_table": table.table,
            "date_column": table.date_column,
            "timezone": table.timezone,
            "dagster/code_references": _code_references(table),
        },
    )


def _code_references(table: TableSpec) -> dg.CodeReferencesMetadataValue:
    with previews():
        return dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=str(tables_path()), line_number=table.line, label="tables.yaml")
            ]
        )


@dataclass(frozen=True)
class _Step:
    """A step of a run.

    `checks` are the checks of months that the run has planned, `plans_up_to_date` whether it has planned the table's.
    """

    context: dg.AssetExecutionContext
    workflow: IngestionWorkflow
    table: TableSpec
    checks: Sequence[str]
    plans_up_to_date: bool

    def ingest(self) -> None:
        """Ingest the run's months, whether they have changed or not."""
        log = self._log(self.checks)
        months = self._run(log, self.context.partition_keys, refresh=False).months
        log.materialize(months)
        self._log_checks(log, [month.manifest for month in months])
        log.observe_source(months[-1].manifest)
        self._check_up_to_date(log, months)

    def refresh(self) -> None:
        """Ingest those of the run's months that have changed, and record these alone.

        A run without partitions, and one over all that there are, is of every month that the table has. The checks of
        the months that were ingested are logged whether the run has planned them or not.
        """
        log = self._log(CHECKS)
        ingested = self._run(log, self._months_to_refresh(), refresh=True)
        self._log_refresh(log, ingested)
        if ingested.found and ingested.found.skipped is None:
            log.succeed(ingested.found.execution)
        self._check_planned({month.manifest.month for month in ingested.months})

    def check_again(self) -> None:
        """Check the run's partitions as they are now, or every ingested month if the run has no partitions."""
        log = self._log(self.checks)
        if self._partitions:
            self.context.log.info(f"Checking {spans(self._partitions)}")
            for month in self._partitions:
                log.check_current(month)
        elif self.checks:
            months = log.raw_layer.months(self.table.name)
            self.context.log.info(
                f"Checking {spans(months)}" if months else "No month has been ingested: nothing to check"
            )
            log.check_all(months)
        if self.plans_up_to_date:
            check_up_to_date(log, months=self._partitions)

    @property
    def _partitions(self) -> Sequence[str]:
        """The run's partitions; empty for a run without."""
        partitioned = self.context.has_partition_key or self.context.has_partition_key_range
        return self.context.partition_keys if partitioned else ()

    def _log(self, checks: Collection[str]) -> MonthLog:
        context = self.context
        return MonthLog(EventLog(context.instance), self.workflow.raw_layer, self.table, context.log_event, checks)

    def _months_to_refresh(self) -> Sequence[str]:
        """The run's months; none when it has all that there were when it was created, which bounds nothing."""
        run = self.context.instance.get_run_record_by_id(self.context.run.run_id)
        created = run.create_timestamp if run else None
        every = monthly_partitions(self.table).get_partition_keys(current_time=created)
        return () if {*every} <= {*self._partitions} else self._partitions

    def _run(self, log: MonthLog, months: Sequence[str], *, refresh: bool) -> Ingested:
        """Run the execution. Raises dg.Failure after it has logged what became of each month."""
        end = self._log_refresh_end if refresh else self._log_end
        try:
            return self.workflow.run(
                context=self.context,
                table=self.table.name,
                months=months,
                refresh=refresh,
                on_termination=lambda ingested: end(log, ingested, None),
            )
        except WorkflowError as error:
            end(log, error.ingested, Failure(error.summary, error.execution_name, error.ingested.links))
            # Without the chained exception, because botocore's traceback would hide the message.
            raise dg.Failure(str(error), metadata=error.ingested.links, allow_retries=False) from None
        except DataLakeError as error:
            self.context.log.debug("".join(traceback.format_tb(error.__traceback__)))
            if not (isinstance(error, AwsError) and error.transient):  # else the bucket cannot be read either
                end(log, Ingested(), None)
            raise dg.Failure(str(error), allow_retries=False) from None

    def _log_end(self, log: MonthLog, ingested: Ingested, failure: Failure | None) -> None:
        """Log what became of each month of a run that failed, or that was terminated if `failure` is None."""
        log.materialize(ingested.months)
        self._log_checks(log, [month.manifest for month in ingested.months])
        with self._warning():
            for month in sorted({*self._partitions} - {month.manifest.month for month in ingested.months}):
                log.leave(month, failure)
        self._check_up_to_date(log, ingested.months)

    def _log_refresh(self, log: MonthLog, ingested: Ingested) -> None:
        """Log the months that a refresh ingested, and one observation of what it found."""
        partitions = monthly_partitions(self.table)
        months = [month for month in ingested.months if partitions.has_partition_key(month.manifest.month)]
        if len(months) < len(ingested.months):
            others = {month.manifest.month for month in ingested.months} - {month.manifest.month for month in months}
            self.context.log.info(f"Ingested, but no partitions: {spans(others)}")
        log.materialize(months)
        self._log_checks(log, [month.manifest for month in months])
        if ingested.found is None:
            return
        with self._warning():
            if manifest := _newest(log, ingested):
                log.observe_source(manifest)
        observe(log, ingested.found, ingested.links)
        if self.plans_up_to_date or ingested.found.skipped is None:
            self._log_up_to_date(log, ingested.found.execution)

    def _log_refresh_end(self, log: MonthLog, ingested: Ingested, failure: Failure | None) -> None:
        """Log what became of each month of a refresh that failed, or that was terminated if `failure` is None.

        Only the months that it should have ingested and did not have failed. Before it has counted, these are unknown:
        it fails the check of the asset then.
        """
        self._log_refresh(log, ingested)
        done = {month.manifest.month for month in ingested.months}
        partitions = monthly_partitions(self.table)
        wanted = ingested.found.to_ingest() if ingested.found else []
        with self._warning():
            for month in wanted:
                if month not in done and partitions.has_partition_key(month):
                    log.leave(month, failure)
            if ingested.found is None and failure is not None:
                log.fail(None, failure)
        self._check_planned({*done, *wanted})
        if ingested.found is None:
            self._check_up_to_date(log, ())

    def _log_checks(self, log: MonthLog, manifests: Iterable[Manifest]) -> None:
        """Log the checks of committed months."""
        with self._warning():
            for manifest in manifests:
                log.check(manifest)

    def _check_planned(self, done: Collection[str]) -> None:
        """Check the months that a refresh left as they are, where the run has planned that.

        Without results Dagster shows the checks of the run as skipped or failed.
        """
        with self._warning():
            log = self._log(self.checks)
            for month in self._partitions if self.checks else ():
                if month not in done:
                    log.check_current(month)
            if self.checks and not self._partitions:
                log.check_all(log.raw_layer.months(self.table.name))

    def _check_up_to_date(self, log: MonthLog, months: Sequence[IngestedMonth]) -> None:
        """Check whether the table is up to date after `months` were ingested, if the run has planned that."""
        if self.plans_up_to_date:
            self._log_up_to_date(log, months[-1].manifest.execution if months else None)

    def _log_up_to_date(self, log: MonthLog, execution: str | None) -> None:
        with self._warning():
            check_up_to_date(log, execution, self._partitions if self.plans_up_to_date else ())

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """Warn where the bucket cannot be read, because what has been ingested is there."""
        try:
            yield
        except DataLakeError as error:
            self.context.log.warning(f"Could not make all checks: {error}")


def _newest(log: MonthLog, ingested: Ingested) -> Manifest | None:
    """A manifest that the refresh wrote, and so what it found of the table; None where nothing had changed."""
    if ingested.months:
        return ingested.months[-1].manifest
    undated = log.raw_layer.undated(log.table.name)
    return undated if undated and ingested.found and undated.execution == ingested.found.execution else None
