"""The assets: each table in PostgreSQL, and downstream of it its raw layer, ingested month by month."""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

import traceback
import warnings
from collections.abc import Iterable, Iterator

import dagster as dg

from ingest_assets.checks import check_specs, evaluations, not_ingested
from ingest_assets.event_log import EventLog
from ingest_assets.metadata import IngestedMonth
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.failures import WorkflowError
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.resources.workflow import IngestionWorkflow
from ingest_assets.sources import source_events, source_key
from ingest_assets.tables import TableSpec, tables_path
from spark_scripts.errors import IngestionError
from spark_scripts.manifest import Manifest

GROUP = "raw_layer"


def raw_layer_asset(*, table: TableSpec) -> dg.AssetsDefinition:
    """The raw layer of a table: one partition per month, any range of months in one run and one execution.

    The pool keeps a second run of the table waiting; the job's own lock would fail it.
    """
    spec = _raw_layer_spec(table)

    @dg.multi_asset(
        name=f"{GROUP}__{table.name}",
        specs=[spec],
        check_specs=check_specs(table, spec.key),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{GROUP}_{table.name}",
    )
    def ingest(context: dg.AssetExecutionContext, workflow: IngestionWorkflow) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # of a value that there is not
        if spec.key not in context.selected_asset_keys:
            _check_again(context, spec.key, workflow.raw_layer)
            return
        try:
            months = workflow.run(context=context, table=table.name, months=context.partition_keys)
        except IngestionError as error:
            # The error's text says it all; what led to it would bury it under botocore's traceback.
            context.log.debug(traceback.format_exc())
            raise _failure(context, spec.key, workflow.raw_layer, error) from None
        yield from _materialized(context, spec.key, months)
        _log_checks(context, spec.key, workflow.raw_layer, [month.manifest for month in months])
        for event in source_events(context.instance, table, months[-1].manifest):
            context.log_event(event)

    return ingest


def raw_layer_key(table: str) -> dg.AssetKey:
    """The key of the raw layer of the table with this name in tables.yaml."""
    return dg.AssetKey([GROUP, table])


def _raw_layer_spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_layer_key(table.name),
        deps=[source_key(table)],
        description=table.description,
        group_name=GROUP,
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # until Dagster takes them out of beta
        return dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(file_path=str(tables_path()), line_number=table.line, label="tables.yaml")
            ]
        )


def _materialized(
    context: dg.AssetExecutionContext, key: dg.AssetKey, months: list[IngestedMonth]
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # of a value that there is not
    """Records the months, without those that the event log has of a run that died after the execution's end."""
    missing = _unrecorded(context, key, months)
    if len(missing) < len(months):  # a result would be one of every month of the run
        for month in missing:
            _log_materialization(context, key, month)
        return
    for month in months:
        context.add_asset_metadata(month.metadata, asset_key=key, partition_key=month.manifest.month)
    yield dg.MaterializeResult(asset_key=key)


def _unrecorded(
    context: dg.AssetExecutionContext, key: dg.AssetKey, months: Iterable[IngestedMonth]
) -> list[IngestedMonth]:
    recorded = EventLog(context.instance)
    return [
        month
        for month in months
        if not recorded.has_materialization(key, month.manifest.month, month.manifest.execution)
    ]


def _log_materialization(context: dg.AssetExecutionContext, key: dg.AssetKey, month: IngestedMonth) -> None:
    context.log_event(dg.AssetMaterialization(key, partition=month.manifest.month, metadata=month.metadata))


def _log_checks(
    context: dg.AssetExecutionContext, key: dg.AssetKey, raw_layer: RawLayer, manifests: Iterable[Manifest]
) -> None:
    """The checks of months that have been committed, which therefore do not fail by what cannot be read now."""
    try:
        for manifest in manifests:
            for evaluation in evaluations(raw_layer, key, manifest):
                context.log_event(evaluation)
    except IngestionError as error:
        context.log.warning(f"Not all checks could be made: {error}")


def _check_again(context: dg.AssetExecutionContext, key: dg.AssetKey, raw_layer: RawLayer) -> None:
    """The checks of months as they are now, without ingesting: of the run's partitions, or of all that there are."""
    table = key.path[-1]
    months = context.partition_keys if context.has_partition_key else raw_layer.months(table)
    manifests = [manifest for month in months if (manifest := raw_layer.current(table, month))]
    context.log.info(
        f"Checking {', '.join(manifest.month for manifest in manifests) or 'nothing: no month is ingested'}"
    )
    _log_checks(context, key, raw_layer, manifests)


def _failure(
    context: dg.AssetExecutionContext, key: dg.AssetKey, raw_layer: RawLayer, error: IngestionError
) -> dg.Failure:
    """The failure to raise. The months that were committed before it are recorded as materialised."""
    if not isinstance(error, WorkflowError):
        return dg.Failure(str(error), allow_retries=False)
    for month in _unrecorded(context, key, error.committed):
        _log_materialization(context, key, month)
    _log_checks(context, key, raw_layer, [month.manifest for month in error.committed])
    for missing in sorted({*context.partition_keys} - {month.manifest.month for month in error.committed}):
        context.log_event(not_ingested(key, missing, error.summary, error.execution_name, error.links))
    return dg.Failure(str(error), metadata=error.links, allow_retries=False)
