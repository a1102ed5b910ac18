"""The keys of the assets and of their steps."""

from __future__ import annotations

import hashlib
import re

import dagster as dg

from ingest_assets.tables import TableSpec

RAW_LAYER = "raw_layer"
"""The group of the raw layers, and the first part of their keys."""
_INGEST_JOB = "ingest_"
_REFRESH_JOB = "refresh_"
SOURCE = "postgres"
"""The group of the tables in PostgreSQL, and the first part of their keys."""


def raw_layer_key(table: str) -> dg.AssetKey:
    """The key of the raw layer of the table with this name in tables.yaml."""
    return dg.AssetKey([RAW_LAYER, table])


def step_key(table: str) -> str:
    """The key of the step that ingests the table with this name in tables.yaml."""
    return f"{RAW_LAYER}__{table}"


def ingest_job_name(table: str) -> str:
    """The name of the job that ingests the table with this name in tables.yaml."""
    return f"{_INGEST_JOB}{table}"


def refresh_job_name(table: str) -> str:
    """The name of the job that refreshes the table with this name in tables.yaml."""
    return f"{_REFRESH_JOB}{table}"


def table_of_job(job: str) -> str | None:
    """The table that the job with this name ingests or refreshes; None for other jobs."""
    prefix = next((prefix for prefix in (_INGEST_JOB, _REFRESH_JOB) if job.startswith(prefix)), None)
    return None if prefix is None else job.removeprefix(prefix)


def source_key(table: TableSpec) -> dg.AssetKey:
    """The key of the table in PostgreSQL."""
    schema, name = table.source
    return dg.AssetKey([SOURCE, _key_part(schema), _key_part(name)])


def _key_part(name: str) -> str:
    """The name as a part of an asset key, which allows letters, digits and `_`; a changed name gets a digest."""
    if re.fullmatch(r"\w+", name, re.ASCII):
        return name
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
