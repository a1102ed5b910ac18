"""The queries that Dagster's pages send, read in the webserver's JavaScript, and what the pages make of the answers.

The source maps of `dagster_webserver` hold the TypeScript of the pages, queries included.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

CHECK_PARTITIONS = ("assets/asset-checks/useAssetCheckPartitionData.tsx", "ASSET_CHECK_PARTITION_HEALTH_QUERY")
"""The Partitions tab of a check."""

LINEAGE = ("asset-data/AssetBaseDataProvider.tsx", "ASSETS_GRAPH_LIVE_QUERY")
"""The boxes of the lineage."""

_TAB = {
    "SUCCEEDED": "Passed",
    "FAILED": "Failed",
    "EXECUTION_FAILED": "Execution Failed",
    "IN_PROGRESS": "In Progress",
    "SKIPPED": "Skipped",
}


@cache
def query(file: str, name: str) -> str:
    """The query of this name in a file of the pages' source, its fragments put in."""
    [source] = _sources(file)
    constants = dict(re.findall(r"export const (\w+) = gql`(.*?)`;", source, re.DOTALL))

    def resolved(text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda match: resolved(constants[match[1]]), text)

    return resolved(constants[name])


def _sources(file: str) -> set[str]:
    found = set()
    for path in Path(str(files("dagster_webserver"))).rglob("*.js.map"):
        text = path.read_text(encoding="utf-8")
        if file in text:
            document = json.loads(text)
            pairs = zip(document["sources"], document["sourcesContent"], strict=True)
            found |= {content for name, content in pairs if name.endswith(f"/{file}")}
    return found


def tab(check: dict[str, Any]) -> dict[str, int]:
    """The numbers of a check's Partitions tab (buildAssetCheckPartitionData in its file)."""
    [dimension] = check["partitionKeysByDimension"]
    keys = dimension["partitionKeys"]
    status = dict.fromkeys(keys, "Missing")
    for part in check["partitionStatuses"]["ranges"]:
        for key in keys[keys.index(part["startKey"]) : keys.index(part["endKey"]) + 1]:
            status[key] = _TAB[part["status"]]
    return dict(Counter(status.values()))


def icon(check: dict[str, Any]) -> str:
    """What the lineage counts a check as (getAggregateCheckIconType in assets/asset-checks/util.tsx)."""
    statuses = {part["status"] for part in (check["partitionStatuses"] or {"ranges": []})["ranges"]}
    latest = check["executionForLatestMaterialization"]
    if not statuses:
        statuses = {latest["status"]} if latest else set()
    if statuses & {"FAILED", "EXECUTION_FAILED"}:
        severity = ((latest or {}).get("evaluation") or {}).get("severity")
        return "WARN" if severity == "WARN" else "ERROR"
    order = ("IN_PROGRESS", "SKIPPED", "SUCCEEDED")
    return next((status for status in order if status in statuses), "NOT_EVALUATED")
