"""Where everything is in the bucket: keys and prefixes. None starts with a slash; prefixes end with one."""

from __future__ import annotations

from typing import Optional

from spark_scripts.contract.months import Partition

RAW_LAYER = "raw-layer/"
STAGING = f"{RAW_LAYER}_staging/"
_MANIFESTS = f"{RAW_LAYER}_manifests/"
TABLES_KEY = "config/tables.json"
LOGS_PREFIX = "logs/"
_JSON = ".json"


def table_prefix(name: str) -> str:
    """The folder of a table."""
    return f"{RAW_LAYER}{name}/"


def partition_prefix(name: str, partition: Partition) -> str:
    """The folder of one partition of a table."""
    return f"{table_prefix(name)}{partition.folder}"


def staging_prefix(execution: str, name: str) -> str:
    """Where an execution writes a table before it is published."""
    return f"{STAGING}{execution}/{name}/"


def current_manifests_prefix(name: str) -> str:
    """The folder of the manifests that say what each partition of a table holds now."""
    return f"{_MANIFESTS}current/{name}/"


def execution_manifests_prefix(execution: str) -> str:
    """The folder of the manifests that an execution left: the history."""
    return f"{_MANIFESTS}executions/{execution}/"


def progress_key(execution: str) -> str:
    """The progress of an execution's job. It is in the folder of the manifests, but is not a manifest."""
    return f"{execution_manifests_prefix(execution)}_progress.json"


def summary_key(execution: str) -> str:
    """What an execution did, in a sentence. The state machine reads it for the notification."""
    return f"{execution_manifests_prefix(execution)}_summary.txt"


def refresh_key(execution: str, name: str) -> str:
    """What a refresh found of a table. It is in the folder of the table's manifests, but is not a manifest."""
    return f"{execution_manifests_prefix(execution)}{name}/_refresh.json"


def findings_key(name: str) -> str:
    """What is known of each month of a table from the last refresh that looked at it, whichever execution that was."""
    return f"{_MANIFESTS}refreshes/{name}.json"


def table_of_refresh(execution: str, key: str) -> Optional[str]:
    """The table about which an execution wrote the object `key` as its refresh; None for another object."""
    name = key[len(execution_manifests_prefix(execution)) :].partition("/")[0]
    return name if key == refresh_key(execution, name) else None


def manifest_of_execution(execution: str, key: str) -> Optional[tuple[str, str]]:
    """Table and partition key of an execution's manifest; None for another object below the execution's manifests."""
    table, slash, file = key[len(execution_manifests_prefix(execution)) :].partition("/")
    return (table, file[: -len(_JSON)]) if slash and not file.startswith("_") else None


def partition_of_current_manifest(name: str, key: str) -> Partition:
    """The partition of the table `name` whose current manifest is the object `key`."""
    return Partition.of_key(key[len(current_manifests_prefix(name)) : -len(_JSON)])


def current_manifest_key(name: str, partition: Partition) -> str:
    """The manifest that says what the partition holds now. Writing it is the commit of the partition."""
    return f"{current_manifests_prefix(name)}{partition.key}{_JSON}"


def execution_manifest_key(execution: str, name: str, partition: Partition) -> str:
    """The manifest that an execution left for a partition."""
    return f"{execution_manifests_prefix(execution)}{name}/{partition.key}{_JSON}"
