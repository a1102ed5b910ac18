"""The code location: the assets of tables.yaml with their checks, jobs, schedules, sensors and resources.

It loads without credentials and network: a resource makes its client on first use, and reads the names of bucket and
state machine from the stack's outputs then. Fields of the resources replace the outputs for a stack made by hand.
"""

from __future__ import annotations

from itertools import groupby

import dagster as dg
from dagster_aws.s3 import S3Resource

from ingest_assets.asset_keys import source_key
from ingest_assets.assets import raw_layer_asset
from ingest_assets.automation import automation_sensor
from ingest_assets.io_manager import READER, RawLayerIOManager
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.queue import Notifications
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.resources.topic import Alerts
from ingest_assets.schedules import ingest_job, mirror_schedule, refresh_job
from ingest_assets.sensors.execution_queue import queue_sensor
from ingest_assets.sensors.freshness import freshness_sensor
from ingest_assets.sensors.run_failures import alert_sensor
from ingest_assets.sources import source_asset
from ingest_assets.summaries import summary_assets
from ingest_assets.tables import load_tables
from ingest_assets.workflow.resource import IngestionWorkflow


def build_definitions() -> dg.Definitions:
    """The definitions for the tables.yaml of this environment. Raises TablesError when it cannot be used."""
    tables = load_tables()
    sources = groupby(sorted(tables, key=source_key), key=source_key)
    raw_layers = [raw_layer_asset(table=table) for table in tables]
    refreshes = [refresh_job(table=table) for table in tables]
    account, s3 = AwsAccount(), S3Resource()
    raw_layer = RawLayerResource(account=account, s3=s3)
    return dg.Definitions(
        assets=[*(source_asset(tables=list(rows)) for _, rows in sources), *raw_layers, *summary_assets(tables)],
        jobs=[*(ingest_job(table=table) for table in tables), *refreshes],
        schedules=[mirror_schedule(table=table, job=job) for table, job in zip(tables, refreshes, strict=True)],
        sensors=[
            queue_sensor(tables=tables),
            alert_sensor(),
            freshness_sensor(tables=tables),
            automation_sensor(),
        ],
        resources={
            "account": account,
            "alerts": Alerts(account=account),
            "notifications": Notifications(account=account),
            "raw_layer": raw_layer,
            READER: RawLayerIOManager(raw_layer=raw_layer),
            "s3": s3,
            "workflow": IngestionWorkflow(account=account, raw_layer=raw_layer),
        },
    )


defs = build_definitions()
