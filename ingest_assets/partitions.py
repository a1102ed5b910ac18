"""The partitions of a table: its months."""

from __future__ import annotations

import dagster as dg

from ingest_assets.tables import TableSpec


def monthly_partitions(table: TableSpec) -> dg.MonthlyPartitionsDefinition:
    """The months from the table's first to the running one, in the table's time zone.

    Keys are as in `2024-02`. `end_offset=1` adds the running month, which Dagster would only offer once it is over.
    """
    return dg.MonthlyPartitionsDefinition(
        start_date=table.first_month, fmt="%Y-%m", timezone=table.timezone, end_offset=1
    )
