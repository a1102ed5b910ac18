"""The assets: each table in PostgreSQL, and downstream of it its raw layer, ingested month by month."""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

import hashlib
import re
import traceback
import warnings

import dagster as dg

from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.failures import WorkflowError
from ingest_assets.resources.workflow import IngestionWorkflow
from ingest_assets.tables import TableSpec, tables_path
from spark_scripts.errors import IngestionError

GROUP = "raw_layer"


def source_asset(*, table: TableSpec) -> dg.AssetSpec:
    """The table in PostgreSQL. Nothing here writes it."""
    schema, name = table.source
    return dg.AssetSpec(
        ["postgres", _key_part(schema), _key_part(name)],
        description=f"Table {table.table} in the source database.",
        group_name="postgres",
        kinds={"postgres", "table"},
        metadata={"dagster/table_name": f"{schema}.{name}"},
    )


def raw_layer_asset(*, table: TableSpec) -> dg.AssetsDefinition:
    """The raw layer of a table: one partition per month, any range of months in one run and one execution.

    The pool keeps a second run of the table waiting; the job's own lock would fail it.
    """
    spec = _raw_layer_spec(table)

    @dg.multi_asset(
        name=f"{GROUP}__{table.name}",
        specs=[spec],
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{GROUP}_{table.name}",
    )
    def ingest(context: dg.AssetExecutionContext, workflow: IngestionWorkflow) -> None:
        try:
            months = workflow.run(context=context, table=table.name, months=context.partition_keys)
        except IngestionError as error:
            # The error's text says it all; what led to it would bury it under botocore's traceback.
            context.log.debug(traceback.format_exc())
            raise _failure(context, spec.key, error) from None
        for month, metadata in months.items():
            context.add_asset_metadata(metadata, asset_key=spec.key, partition_key=month)

    return ingest


def _raw_layer_spec(table: TableSpec) -> dg.AssetSpec:
    return dg.AssetSpec(
        [GROUP, table.name],
        deps=[source_asset(table=table)],
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
            "dagster/code_references": _code_references(),
        },
    )


def _key_part(name: str) -> str:
    """A part of an asset key, which has to be letters, digits and `_`; with a digest where it was not."""
    if re.fullmatch(r"\w+", name, re.ASCII):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _code_references() -> dg.CodeReferencesMetadataValue:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # until Dagster takes them out of beta
        return dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=str(tables_path()), label="tables.yaml")]
        )


def _failure(context: dg.AssetExecutionContext, key: dg.AssetKey, error: IngestionError) -> dg.Failure:
    """The failure to raise. The months that were committed before it are recorded as materialised."""
    if not isinstance(error, WorkflowError):
        return dg.Failure(str(error), allow_retries=False)
    for month, metadata in error.committed.items():
        context.log_event(dg.AssetMaterialization(asset_key=key, partition=month, metadata=metadata))
    return dg.Failure(str(error), metadata=error.links, allow_retries=False)
