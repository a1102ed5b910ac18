"""What Dagster's event log gets of a table in PostgreSQL: what the last execution found there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import dagster as dg

from ingest_assets.asset_keys import source_key
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.metadata import EXECUTION_NAME, Metadata, source_schema
from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Manifest

NO_ROWS_WITHOUT_DATE = "no_rows_without_date"

_RAW_LAYER = "raw_layer"
_HISTORY = 100  # results that are searched for those of one raw layer


def source_events(
    history: EventLog, table: TableSpec, manifest: Manifest
) -> Iterator[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """What an execution found of the whole table, by any manifest that it left; nothing if that has been logged."""
    if any(value == manifest.execution for value in _executions(history, source_key(table), manifest.table)):
        return
    yield dg.AssetObservation(source_key(table), metadata=source_metadata(manifest), description=manifest.table_comment)
    yield undated_result(history, source_key(table), manifest)


def source_metadata(manifest: Manifest) -> Metadata:
    """Columns, comment and size of the table in PostgreSQL, as the execution of the manifest found them."""
    schema = dg.MetadataValue.table_schema(source_schema(manifest))
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


def undated_result(history: EventLog, key: dg.AssetKey, manifest: Manifest) -> dg.AssetCheckEvaluation:
    """Whether there are more rows without a date than at the execution before."""
    now, before = manifest.undated_rows, _undated_before(history, key, manifest)
    text = f"{now:,} rows of {manifest.table} have no {manifest.date_column}: they are in the folder of NULL."
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


def _undated_before(history: EventLog, key: dg.AssetKey, manifest: Manifest) -> int | None:
    """The rows without a date that the last other execution of the raw layer found; None if Dagster knows of none."""
    for values in _results(history, key, manifest.table):
        if values.get(EXECUTION_NAME) != manifest.execution:
            return int(str(values["undated_rows"]))
    return None


def _executions(history: EventLog, key: dg.AssetKey, raw_layer: str) -> Iterator[object]:
    return (values.get(EXECUTION_NAME) for values in _results(history, key, raw_layer))


def _results(history: EventLog, key: dg.AssetKey, raw_layer: str) -> Iterator[Mapping[str, object]]:
    """The metadata of the check's results for a raw layer, the newest first."""
    results = history.results(dg.AssetCheckKey(key, NO_ROWS_WITHOUT_DATE), None)
    for evaluation, _ in islice(results, _HISTORY):
        values = {name: value.value for name, value in evaluation.metadata.items()}
        if values.get(_RAW_LAYER) == raw_layer:
            yield values
