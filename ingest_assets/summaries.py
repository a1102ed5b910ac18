"""Summaries of months: an asset downstream of a raw layer, for the tables with `summary: true` in tables.yaml.

It is also the example of an asset downstream that runs for changed months alone, whoever started the execution. The
summary stands in the metadata of the materialisation; Dagster's role may not write into the bucket.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

from collections.abc import Iterable, Iterator

import dagster as dg
import duckdb
import pyarrow as pa

from ingest_assets._compat import previews
from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.partitions import monthly_partitions
from ingest_assets.read import month
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.tables import TableSpec
from spark_scripts.contract.errors import DataLakeError

SUMMARY = "summary"
"""The group of the summaries, and the first part of their keys."""

_Condition = dg.AutomationCondition

_CHANGED = _Condition.any_deps_match(_Condition.data_version_changed() & ~_Condition.executed_with_root_target())
_REQUESTED = (_Condition.newly_requested() & ~_CHANGED) | _Condition.initial_evaluation()

CHANGED_MONTHS = (
    _CHANGED.since(_REQUESTED) & ~_Condition.any_deps_in_progress() & ~_Condition.in_progress()
).with_label("changed_months")
"""True for a month whose raw layer has got another data version since the month was last requested.

The month of a run that ingests and summarises it is not requested; in a run over several months Dagster knows that of
the last one only, and the others are summarised once more. A month that changes while it is summarised is requested
again afterwards; with `since_last_handled()`, as in `eager()`, the end of a run would hide a change of the same moment.
docs/reading.md says what the other conditions do.
"""

_CODE_VERSION = "1"  # raise it when the summary has something else in it

_WITHOUT_EXTREMES = "VARCHAR", "BLOB"
"""Types whose smallest and largest value are left out: they may be personal, and everybody sees metadata in Dagster."""

_COLUMNS = f"""
SELECT column_name, column_type, CASE WHEN column_type NOT IN {_WITHOUT_EXTREMES} THEN min END AS min,
    CASE WHEN column_type NOT IN {_WITHOUT_EXTREMES} THEN max END AS max,
    approx_unique AS distinct_about, coalesce(null_percentage, 0)::DOUBLE AS null_percent
FROM (SUMMARIZE month)
"""  # noqa: S608  (constants)


def summary_key(table: str) -> dg.AssetKey:
    """The key of the summary of the table with this name in tables.yaml."""
    return dg.AssetKey([SUMMARY, table])


def summary_assets(tables: Iterable[TableSpec]) -> list[dg.AssetsDefinition]:
    """The summaries that tables.yaml asks for."""
    return [_summary_asset(table=table) for table in tables if table.summary]


def _summary_asset(*, table: TableSpec) -> dg.AssetsDefinition:
    """A run over a range of months is allowed, so that a run can have raw layer and summary."""
    key = summary_key(table.name)

    with previews():  # the argument backfill_policy is beta

        @dg.asset(
            key=key,
            deps=[raw_layer_key(table.name)],
            description=f"What each month of {table.name} holds: its columns, and its rows by day.",
            group_name=SUMMARY,
            kinds={"duckdb"},
            owners=table.owners,
            partitions_def=monthly_partitions(table),
            backfill_policy=dg.BackfillPolicy.single_run(),
            automation_condition=CHANGED_MONTHS,
            code_version=_CODE_VERSION,
        )
        def summarize(context: dg.AssetExecutionContext, raw_layer: RawLayerResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # the result carries no value
            for each in context.partition_keys:
                try:
                    rows = month(table.name, each, raw_layer=raw_layer).arrow()
                except DataLakeError as error:
                    raise dg.Failure(str(error), allow_retries=False) from None
                context.add_asset_metadata(summarized(rows, table), asset_key=key, partition_key=each)
            return dg.MaterializeResult(asset_key=key)

    return summarize


def summarized(rows: pa.Table, table: TableSpec) -> dict[str, dg.MetadataValue]:
    """The metadata that describes the rows of a month: of each column, and the number of rows by day."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("month", rows)
        found: dict[str, dg.MetadataValue] = {
            "dagster/partition_row_count": dg.MetadataValue.int(len(rows)),
            "columns": _table(connection.sql(_COLUMNS)),
        }
        if table.date_column in rows.column_names:  # else it was renamed after the month was ingested
            found["days"] = _table(connection.sql(_days(rows, table)))
        return found


def _days(rows: pa.Table, table: TableSpec) -> str:
    """The query of the rows by day, in the zone of the table's months."""
    day = '"' + table.date_column.replace('"', '""') + '"'
    if getattr(rows.schema.field(table.date_column).type, "tz", None):
        day = f"timezone('{table.timezone}', {day})"
    return f"SELECT try_cast({day} AS DATE)::VARCHAR AS day, count(*) AS rows FROM month GROUP BY 1 ORDER BY 1"  # noqa: S608


def _table(relation: duckdb.DuckDBPyRelation) -> dg.TableMetadataValue:
    names = relation.columns
    records = [dg.TableRecord(dict(zip(names, row, strict=True))) for row in relation.fetchall()]
    return dg.MetadataValue.table(records, _schema(relation))


def _schema(relation: duckdb.DuckDBPyRelation) -> dg.TableSchema:
    kinds: Iterator[tuple[str, str]] = zip(relation.columns, map(str, relation.types), strict=True)
    return dg.TableSchema([dg.TableColumn(name, _DAGSTER_TYPES.get(kind, "string")) for name, kind in kinds])


_DAGSTER_TYPES = {"BIGINT": "int", "DOUBLE": "float"}
