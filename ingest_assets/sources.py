"""The tables in PostgreSQL, upstream of their raw layers, as the last execution found them.

Nothing here connects to the database. The page of a table shows what a manifest says: each recorded execution logs it,
and *Observe* reads it again.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of an asset's function themselves.

from collections.abc import Iterator, Sequence

import dagster as dg

from ingest_assets._compat import previews
from ingest_assets.asset_keys import SOURCE, source_key
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.lineage.source_log import NO_ROWS_WITHOUT_DATE, source_metadata, undated_result
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.tables import TableSpec


def source_asset(*, tables: Sequence[TableSpec]) -> dg.AssetsDefinition:
    """The table in PostgreSQL that all `tables` ingest. Dagster observes it and never writes it."""
    key, (schema, name) = source_key(tables[0]), tables[0].source
    spec = dg.AssetSpec(
        key,
        description=f"Table {tables[0].table} in the source database, as the last execution found it.",
        group_name=SOURCE,
        kinds={"postgres", "table"},
        metadata={"dagster/table_name": f"{schema}.{name}"},
    )
    check = dg.AssetCheckSpec(
        NO_ROWS_WITHOUT_DATE,
        asset=key,
        description="There are no more rows with a NULL or infinite date than at the execution before.",
    )

    with previews():
        observable = dg.multi_observable_source_asset(name="__".join(key.path), specs=[spec], check_specs=[check])

    def observe(context: dg.AssetExecutionContext, raw_layer: RawLayerResource) -> Iterator[dg.ObserveResult]:
        found = [manifest for table in tables if (manifest := raw_layer.undated(table.name))]
        if not found:
            context.log.info(f"No month of {tables[0].table} has been ingested: nothing is known of the table.")
            yield dg.ObserveResult(key, check_results=[dg.AssetCheckResult(passed=True, check_name=check.name)])
            return
        last = max(found, key=lambda manifest: manifest.finished)
        result = undated_result(EventLog(context.instance), key, last)
        yield dg.ObserveResult(
            key,
            metadata=source_metadata(last),
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
