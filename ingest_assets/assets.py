"""The raw layer assets: one for each table, ingested month by month."""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

import traceback
from collections.abc import Iterable, Iterator

import dagster as dg

from ingest_assets._compat import check_output, output_without_event, previews
from ingest_assets.asset_keys import RAW_LAYER, raw_layer_key, source_key, step_key
from ingest_assets.aws.errors import AwsError
from ingest_assets.checks.specs import check_specs
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.lineage.month_log import Failure, MonthLog
from ingest_assets.metadata import IngestedMonth
from ingest_assets.partitions import monthly_partitions
from ingest_assets.tables import TableSpec, tables_path
from ingest_assets.versions import code_version
from ingest_assets.workflow.failures import WorkflowError
from ingest_assets.workflow.resource import IngestionWorkflow
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.wording import spans


def raw_layer_asset(*, table: TableSpec) -> dg.AssetsDefinition:
    """The raw layer of a table: one partition per month. A run of any range of months is one execution.

    The pool lets a second run of the table wait, which the job's own lock would fail.
    """
    spec = _raw_layer_spec(table)
    checks = check_specs(table, spec.key)

    @dg.multi_asset(
        name=step_key(table.name),
        specs=[spec],
        check_specs=checks,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{RAW_LAYER}_{table.name}",
    )
    def ingest(
        context: dg.AssetExecutionContext, workflow: IngestionWorkflow
    ) -> Iterator[dg.MaterializeResult | dg.Output]:  # type: ignore[type-arg]  # the outputs carry no value
        selected = [check for check in checks if check.key in context.selected_asset_check_keys]
        names = [check.name for check in selected]
        log = MonthLog(EventLog(context.instance), workflow.raw_layer, table, context.log_event, names)
        if spec.key in context.selected_asset_keys:
            months = _run(context, workflow, log)
            log.materialize(months)  # by itself, because each month has a data version of its own
            yield output_without_event(spec.key)
            _log_checks(context, log, [month.manifest for month in months])
            log.observe_source(months[-1].manifest)
        else:
            _check_again(context, log)
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


def _run(context: dg.AssetExecutionContext, workflow: IngestionWorkflow, log: MonthLog) -> list[IngestedMonth]:
    """Ingest the run's months. Raises dg.Failure after it has logged what became of each month."""
    try:
        return workflow.run(
            context=context,
            table=log.table.name,
            months=context.partition_keys,
            on_termination=lambda committed: _log_end(context, log, committed, None),
        )
    except WorkflowError as error:
        _log_end(context, log, error.committed, Failure(error.summary, error.execution_name, error.links))
        # Without the chained exception, because botocore's traceback would hide the message.
        raise dg.Failure(str(error), metadata=error.links, allow_retries=False) from None
    except DataLakeError as error:
        context.log.debug("".join(traceback.format_tb(error.__traceback__)))
        if not (isinstance(error, AwsError) and error.transient):  # else the bucket cannot be read either
            _log_end(context, log, [], None)
        raise dg.Failure(str(error), allow_retries=False) from None


def _log_end(
    context: dg.AssetExecutionContext, log: MonthLog, committed: Iterable[IngestedMonth], failure: Failure | None
) -> None:
    """Log what became of each month of a run that failed, or that was terminated if `failure` is None."""
    months = list(committed)
    log.materialize(months)
    _log_checks(context, log, [month.manifest for month in months])
    try:
        for month in sorted({*context.partition_keys} - {month.manifest.month for month in months}):
            log.leave(month, failure)
    except DataLakeError as error:
        context.log.warning(f"Could not make all checks: {error}")


def _log_checks(context: dg.AssetExecutionContext, log: MonthLog, manifests: Iterable[Manifest]) -> None:
    """Log the checks of committed months. A bucket that cannot be read is a warning, because the months are there."""
    try:
        for manifest in manifests:
            log.check(manifest)
    except DataLakeError as error:
        context.log.warning(f"Could not make all checks: {error}")


def _check_again(context: dg.AssetExecutionContext, log: MonthLog) -> None:
    """Check the run's partitions as they are now, or every ingested month if the run has no partitions."""
    if context.has_partition_key or context.has_partition_key_range:
        context.log.info(f"Checking {spans(context.partition_keys)}")
        for month in context.partition_keys:
            log.check_current(month)
        return
    months = log.raw_layer.months(log.table.name)
    context.log.info(f"Checking {spans(months)}" if months else "No month has been ingested: nothing to check")
    log.check_all(months)
