"""Where everything lives in the bucket. Keys and prefixes; none starts with a slash, prefixes end with one."""

from __future__ import annotations

from typing import Optional

from spark_scripts.contract.months import Month

RAW_LAYER = "raw-layer/"
STAGING = f"{RAW_LAYER}_staging/"
_MANIFESTS = f"{RAW_LAYER}_manifests/"
TABLES_KEY = "config/tables.json"
LOGS_PREFIX = "logs/"

# Spark and Hive read this folder name as NULL (ExternalCatalogUtils.DEFAULT_PARTITION_NAME).
_NULL = "__HIVE_DEFAULT_PARTITION__"

UNDATED = "undated"
"""Stands for the month of rows whose date is NULL or infinite, in manifests and staging folders."""


def table_prefix(name: str) -> str:
    """The folder of a table."""
    return f"{RAW_LAYER}{name}/"


def partition_prefix(name: str, month: Optional[Month]) -> str:
    """The folder of one month of a table; of the rows without a month when `month` is None.

    The month is not zero-padded, as Spark's `partitionBy` writes an integer column.
    """
    if month is None:
        return f"{table_prefix(name)}year={_NULL}/month={_NULL}/"
    return f"{table_prefix(name)}year={month.year}/month={month.number}/"


def staging_prefix(execution: str, name: str) -> str:
    """Where an execution writes a table before it is published."""
    return f"{STAGING}{execution}/{name}/"


def month_label(month: Optional[Month]) -> str:
    """`2024-02`, or `undated` for None."""
    return UNDATED if month is None else str(month)


def current_manifests_prefix(name: str) -> str:
    """The folder of the manifests that say what each month of a table holds now."""
    return f"{_MANIFESTS}current/{name}/"


def execution_manifests_prefix(execution: str) -> str:
    """The folder of the manifests that an execution left: the history."""
    return f"{_MANIFESTS}executions/{execution}/"


def progress_key(execution: str) -> str:
    """What the job of an execution has done so far; not a manifest, though it is beside them."""
    return f"{execution_manifests_prefix(execution)}_progress.json"


def manifest_of_execution(execution: str, key: str) -> Optional[tuple[str, str]]:
    """Table and month label of an object below the execution's manifests; None for one that is no manifest."""
    table, slash, file = key[len(execution_manifests_prefix(execution)) :].partition("/")
    return (table, file[: -len(".json")]) if slash else None


def current_manifest_key(name: str, month: Optional[Month]) -> str:
    """The manifest that says what the month holds now. Writing it is the commit of the month."""
    return f"{current_manifests_prefix(name)}{month_label(month)}.json"


def execution_manifest_key(execution: str, name: str, month: Optional[Month]) -> str:
    """The manifest that an execution left for a month."""
    return f"{execution_manifests_prefix(execution)}{name}/{month_label(month)}.json"
