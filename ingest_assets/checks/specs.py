"""The checks that every month of a raw layer has."""

from __future__ import annotations

import dagster as dg

from ingest_assets._compat import previews
from ingest_assets.partitions import monthly_partitions
from ingest_assets.tables import TableSpec

EXECUTION_SUCCEEDED = "execution_succeeded"
ROWS_MATCH_SOURCE = "rows_match_source"
OBJECTS_MATCH_MANIFEST = "objects_match_manifest"
CONTENT_UNCHANGED = "content_unchanged"
COLUMNS_UNCHANGED = "columns_unchanged"
COLUMNS_REVIEWED = "columns_reviewed"
INGESTED_IN_TIME = "ingested_in_time"

_DESCRIPTIONS = {
    EXECUTION_SUCCEEDED: "The last execution that was to ingest the month did not fail.",
    ROWS_MATCH_SOURCE: "As many rows arrived as the source had in the same snapshot.",
    OBJECTS_MATCH_MANIFEST: "The month's folder in S3 holds exactly the files that the manifest lists, in their sizes.",
    CONTENT_UNCHANGED: "The month's files hold the rows that were ingested. Execute checks reads every byte of them.",
    COLUMNS_UNCHANGED: "The month has the columns and types of the month before; in Parquet, of all months.",
    COLUMNS_REVIEWED: "tables.yaml names every column that looks like personal data, and hides what it says.",
    INGESTED_IN_TIME: "The month of the schedule's last tick was ingested by the end of the day of the tick.",
}

CHECKS = tuple(_DESCRIPTIONS)
"""The names of the checks."""


def check_specs(table: TableSpec, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of a raw layer asset, each with a result per month."""
    with previews():
        return [
            dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=monthly_partitions(table))
            for name, text in _DESCRIPTIONS.items()
        ]
