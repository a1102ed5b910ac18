"""The code location: every asset of tables.yaml, and what they talk to.

Loads without credentials and without network: clients are made when something is materialised, and the names of
bucket and state machine come from the stack's outputs then. Who made those by hand gives them to the resources.
"""

from __future__ import annotations

import dagster as dg
from dagster_aws.s3 import S3Resource

from ingest_assets.assets import raw_layer_asset, source_asset
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.resources.workflow import IngestionWorkflow
from ingest_assets.tables import load_tables


def build_definitions() -> dg.Definitions:
    """The definitions for the tables.yaml of this environment. Raises TablesError when it cannot be used."""
    tables = load_tables()
    sources = {source.key: source for source in (source_asset(table=table) for table in tables)}
    account, s3 = AwsAccount(), S3Resource()
    raw_layer = RawLayer(account=account, s3=s3)
    return dg.Definitions(
        assets=[*sources.values(), *(raw_layer_asset(table=table) for table in tables)],
        resources={
            "account": account,
            "s3": s3,
            "raw_layer": raw_layer,
            "workflow": IngestionWorkflow(account=account, raw_layer=raw_layer),
        },
    )


defs = build_definitions()
