"""The partitions of a table: its months."""

from __future__ import annotations

import dagster as dg

from ingest_assets.tables import TableSpec


def monthly_partitions(table: TableSpec) -> dg.MonthlyPartitionsDefinition:
    """The months from the table's first to the current one, in the table's time zone.

    Keys look like `2024-02`. `end_offset=1` adds the current month, which Dagster would offer only after its end.
    """
    return dg.MonthlyPartitionsDefinition(
        start_date=table.first_month, fmt="%Y-%m", timezone=table.timezone, end_offset=1
    )
