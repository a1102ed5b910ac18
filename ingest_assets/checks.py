"""What is checked of each month, from its manifest and the lake, whoever started its execution.

The results are logged as events of their own, each with its month: an AssetCheckResult of a run over several months
cannot name one (dagster 1.13).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from ingest_assets import column_types
from ingest_assets.metadata import EXECUTION_NAME, Metadata
from ingest_assets.partitions import monthly_partitions
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.tables import TableSpec
from spark_scripts.manifest import Column, Manifest
from spark_scripts.months import Month

EXECUTION_SUCCEEDED = "execution_succeeded"
INGESTED_IN_TIME = "ingested_in_time"

_DESCRIPTIONS = {
    EXECUTION_SUCCEEDED: "The last execution that was to ingest the month committed it.",
    "rows_match_source": "Spark wrote as many rows as the source counted in the same snapshot.",
    "objects_match_manifest": "The month's folder in S3 holds exactly the files of its manifest, in their sizes.",
    "columns_unchanged": "Columns and types are those of the month before, in Parquet those of all months.",
    INGESTED_IN_TIME: "The month of the schedule's last tick has been ingested by the end of that day.",
}


CHECKS = tuple(_DESCRIPTIONS)
"""The names of the checks that every month of an execution gets."""


@dataclass(frozen=True)
class _Verdict:
    passed: bool
    description: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


def check_specs(table: TableSpec, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of a raw layer asset, each with a result per month."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks; a test holds what is used of them
        return [
            dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=monthly_partitions(table))
            for name, text in _DESCRIPTIONS.items()
        ]


def evaluations(raw_layer: RawLayer, asset: dg.AssetKey, manifest: Manifest) -> Iterator[dg.AssetCheckEvaluation]:
    """The results for the month that an execution committed. Raises AwsError when the bucket cannot be read."""
    checks: dict[str, Callable[[], _Verdict]] = {
        EXECUTION_SUCCEEDED: lambda: _Verdict(True, f"Committed at {manifest.finished}."),
        "rows_match_source": lambda: _rows(manifest),
        "objects_match_manifest": lambda: _objects(raw_layer, manifest),
        "columns_unchanged": lambda: _columns(raw_layer, manifest),
        INGESTED_IN_TIME: lambda: _Verdict(True, f"Ingested at {manifest.finished}."),
    }
    for name, check in checks.items():
        verdict = check()
        yield dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=name,
            passed=verdict.passed,
            severity=verdict.severity,
            description=verdict.description,
            metadata={EXECUTION_NAME: manifest.execution},
            partition=manifest.month,
        )


def not_ingested(
    asset: dg.AssetKey, month: str | None, reason: str, execution_name: str, links: Metadata
) -> dg.AssetCheckEvaluation:
    """The result for a month that an execution was to ingest and did not; of the whole asset when `month` is None."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=EXECUTION_SUCCEEDED,
        passed=False,
        description=reason,
        metadata={**links, EXECUTION_NAME: execution_name},
        partition=month,
    )


def _rows(manifest: Manifest) -> _Verdict:
    text = f"{manifest.rows:,} rows written, {manifest.source_rows:,} counted in the source"
    same = manifest.rows == manifest.source_rows
    if manifest.snapshot is None:
        return _Verdict(same, f"{text}, without a common snapshot.", dg.AssetCheckSeverity.WARN)
    return _Verdict(same, f"{text}, in snapshot {manifest.snapshot}.")


def _objects(raw_layer: RawLayer, manifest: Manifest) -> _Verdict:
    """The folder against the current manifest: a later execution may have written the month since."""
    current = raw_layer.current(manifest.table, manifest.month) or manifest
    found = raw_layer.objects(manifest.table, manifest.month)
    listed = {file.key: file.bytes for file in current.files}
    if found == listed:
        return _Verdict(True, f"{len(listed)} objects, {sum(listed.values()):,} bytes.")
    groups = {
        "missing": listed.keys() - found.keys(),
        "not in the manifest": found.keys() - listed.keys(),
        "of another size": {key for key in listed.keys() & found.keys() if listed[key] != found[key]},
    }
    told = [f"{what}: {', '.join(sorted(keys))}" for what, keys in groups.items() if keys]
    return _Verdict(False, f"{'; '.join(told)}. Ingest the month again, which removes what no manifest lists.")


def _columns(raw_layer: RawLayer, manifest: Manifest) -> _Verdict:
    before = str(Month.parse(manifest.month).plus(-1))
    previous = raw_layer.current(manifest.table, before)
    changes = list(_changes(previous.columns, manifest.columns)) if previous else []
    told = [f"Since {before}: {'; '.join(changes)}."] if changes else []
    told += filter(None, [column_types.disagreement(raw_layer, manifest)])
    if told:
        return _Verdict(False, " ".join(told))
    if previous is None:
        return _Verdict(True, f"{before} has not been ingested: nothing to compare with.")
    return _Verdict(True, f"The {len(manifest.columns)} columns of {before}.")


def _changes(before: Sequence[Column], now: Sequence[Column]) -> Iterator[str]:
    old, new = ({column.name: column.type for column in columns} for columns in (before, now))
    yield from (f"{name} {kind} is new" for name, kind in new.items() if name not in old)
    yield from (f"{name} {kind} is gone" for name, kind in old.items() if name not in new)
    yield from (f"{name} was {old[name]}, is {new[name]}" for name in new if name in old and old[name] != new[name])
    if list(old) != list(new) and old.keys() == new.keys():
        yield "the columns are in another order"
