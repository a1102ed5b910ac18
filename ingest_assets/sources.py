"""The tables in PostgreSQL, upstream of their raw layers: what an execution told of them.

Nothing here connects to the database. What the page of a table shows is from a manifest: the run that ingests logs it,
and *Observe* reads it again, also after executions that Dagster did not start.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

import hashlib
import re
from collections.abc import Iterator, Sequence

import dagster as dg

from ingest_assets._compat import previews
from ingest_assets.metadata import EXECUTION_NAME, Metadata, column_schema
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Manifest

GROUP = "postgres"
NO_ROWS_WITHOUT_DATE = "no_rows_without_date"

_RAW_LAYER = "raw_layer"
_HISTORY = 100  # results that are searched for those of the execution before


def source_key(table: TableSpec) -> dg.AssetKey:
    """The key of the table in PostgreSQL."""
    schema, name = table.source
    return dg.AssetKey([GROUP, _key_part(schema), _key_part(name)])


def source_asset(*, tables: Sequence[TableSpec]) -> dg.AssetsDefinition:
    """The table in PostgreSQL that all of `tables` ingest. Nothing here writes it."""
    key, (schema, name) = source_key(tables[0]), tables[0].source
    spec = dg.AssetSpec(
        key,
        description=f"Table {tables[0].table} in the source database, as the last execution found it.",
        group_name=GROUP,
        kinds={"postgres", "table"},
        metadata={"dagster/table_name": f"{schema}.{name}"},
    )
    check = dg.AssetCheckSpec(
        NO_ROWS_WITHOUT_DATE,
        asset=key,
        description="The rows whose date is NULL or infinite, which are in no month, have not become more.",
    )

    with previews():
        observable = dg.multi_observable_source_asset(name="__".join(key.path), specs=[spec], check_specs=[check])

    def observe(context: dg.AssetExecutionContext, raw_layer: RawLayer) -> Iterator[dg.ObserveResult]:
        found = [manifest for table in tables if (manifest := raw_layer.undated(table.name))]
        if not found:
            context.log.info(f"Nothing is known of {tables[0].table}: no month is ingested.")
            yield dg.ObserveResult(key, check_results=[dg.AssetCheckResult(passed=True, check_name=check.name)])
            return
        last = max(found, key=lambda manifest: manifest.finished)
        result = _undated(context.instance, key, last)
        yield dg.ObserveResult(
            key,
            metadata=_metadata(last),
            check_results=[
                dg.AssetCheckResult(
                    passed=result.passed,
                    check_name=result.check_name,
                    metadata=result.metadata,
                    severity=result.severity,
                    description=result.description,
                )
            ],
        )

    definition: dg.AssetsDefinition = observable(observe)
    return definition


def source_events(
    instance: dg.DagsterInstance, table: TableSpec, manifest: Manifest
) -> Iterator[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """What an execution told of the whole table, by any manifest that it left."""
    key = source_key(table)
    yield dg.AssetObservation(key, metadata=_metadata(manifest), description=manifest.table_comment)
    yield _undated(instance, key, manifest)


def _metadata(manifest: Manifest) -> Metadata:
    schema = dg.MetadataValue.table_schema(column_schema(manifest))
    numbers = {"dagster/row_count": manifest.table_rows, "dagster/size_bytes": manifest.table_bytes}
    return {
        "dagster/column_schema": schema,
        "columns": schema,  # Dagster 1.13 shows the entry above for materialisations only
        **({"comment": dg.MetadataValue.text(manifest.table_comment)} if manifest.table_comment else {}),
        **{name: dg.MetadataValue.int(number) for name, number in numbers.items() if number is not None},
        "undated_rows": dg.MetadataValue.int(manifest.undated_rows),
        _RAW_LAYER: dg.MetadataValue.text(manifest.table),
        EXECUTION_NAME: dg.MetadataValue.text(manifest.execution),
    }


def _undated(instance: dg.DagsterInstance, key: dg.AssetKey, manifest: Manifest) -> dg.AssetCheckEvaluation:
    """Whether the rows without a date have become more since the execution before."""
    now, before = manifest.undated_rows, _undated_before(instance, key, manifest)
    text = f"{now:,} rows have no {manifest.date_column} in {manifest.table}: they are in the folder of NULL."
    if before is not None and now > before:
        text = f"{text} That is {now - before:,} more than in the execution before."
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=NO_ROWS_WITHOUT_DATE,
        passed=before is None or now <= before,
        severity=dg.AssetCheckSeverity.WARN,
        description=text if now else "Every row has a date.",
        metadata={
            "undated_rows": dg.MetadataValue.int(now),
            _RAW_LAYER: dg.MetadataValue.text(manifest.table),
            EXECUTION_NAME: dg.MetadataValue.text(manifest.execution),
        },
    )


def _undated_before(instance: dg.DagsterInstance, key: dg.AssetKey, manifest: Manifest) -> int | None:
    """What the last other execution for the same raw layer told; None when Dagster knows of none."""
    check = dg.AssetCheckKey(key, NO_ROWS_WITHOUT_DATE)
    for record in instance.event_log_storage.get_asset_check_execution_history(check, limit=_HISTORY):
        if not isinstance(record.evaluation, dg.AssetCheckEvaluation):  # it is planned only
            continue
        told = {name: value.value for name, value in record.evaluation.metadata.items()}
        if told.get(_RAW_LAYER) == manifest.table and told.get(EXECUTION_NAME) != manifest.execution:
            return int(str(told["undated_rows"]))
    return None


def _key_part(name: str) -> str:
    """A part of an asset key, which has to be letters, digits and `_`; with a digest where it was not."""
    if re.fullmatch(r"\w+", name, re.ASCII):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
