"""The check `up_to_date` of a table: whether the raw layer has what the source had when a refresh last looked.

A refresh, and a look that ingests nothing, write what they found of each month (see `Findings`). A month that was
ingested after that is up to date: its snapshot is a later one, because one execution at a time writes a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.checks.results import Evaluated
from ingest_assets.metadata import EXECUTION_NAME
from spark_scripts.contract.months import UNDATED, Partition
from spark_scripts.contract.refresh import Findings
from spark_scripts.contract.wording import counted

UP_TO_DATE = "up_to_date"

_MOST_NAMED = 10


def up_to_date_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of a raw layer. It has one result for the table, none per month, and blocks nothing."""
    return dg.AssetCheckSpec(
        UP_TO_DATE,
        asset=asset,
        description="No month of the source differed from the raw layer when a refresh last looked at it.",
    )


def up_to_date(raw_layer: RawLayer, evaluated: Evaluated, execution: str | None = None) -> dg.AssetCheckEvaluation:
    """The result for the table, from the newest findings in the bucket, which `execution` may have written.

    Raises AwsError when the bucket cannot be read.
    """
    table = evaluated.asset.path[-1]
    found = raw_layer.findings(table)
    if found is None or not found.looks:
        text = f"Not known: no refresh has looked at {table} yet. Run the job refresh_{table} or `trigger --look`."
        return _result(evaluated, False, text, {}, execution)
    differing = _differing(raw_layer, found)
    oldest = min(look.at for look in found.looks.values())
    months = counted(len(found.looks.keys() - {UNDATED.key}), "month")
    as_of = f"as of {_minute(oldest)}, {_age(datetime.now(UTC) - datetime.fromisoformat(oldest))} ago"
    if differing:
        count = len(differing.keys() - {UNDATED.key})
        undated = " and the rows without a month" if UNDATED.key in differing else ""
        text = f"{count} of {months}{undated} differ from the source, {as_of}: {_named(differing)}."
    else:
        text = f"All {months} are as in the source, {as_of}."
    newest = max(found.looks.values(), key=lambda look: look.at)
    metadata = {
        "months": dg.MetadataValue.int(len(found.looks.keys() - {UNDATED.key})),
        "months_that_differ": dg.MetadataValue.int(len(differing.keys() - {UNDATED.key})),
        "looked_at": dg.MetadataValue.timestamp(datetime.fromisoformat(oldest)),
    }
    return _result(evaluated, not differing, text, metadata, execution or newest.execution)


def _differing(raw_layer: RawLayer, found: Findings) -> dict[str, str]:
    """The reason for each partition that differs and has not been ingested since."""
    differing = {}
    for key, look in sorted(found.looks.items()):
        if look.reason is not None:
            manifest = raw_layer.current_of(found.table, Partition.of_key(key))
            if (manifest.finished if manifest else None) == look.ingested:
                differing[key] = look.reason
    return differing


def _result(
    evaluated: Evaluated, passed: bool, text: str, metadata: Mapping[str, dg.MetadataValue], execution: str | None
) -> dg.AssetCheckEvaluation:
    name = {} if execution is None else {EXECUTION_NAME: dg.MetadataValue.text(execution)}
    return dg.AssetCheckEvaluation(
        asset_key=evaluated.asset,
        check_name=UP_TO_DATE,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
        metadata={**metadata, **name},
        target_materialization_data=evaluated.target,
    )


def _named(differing: Mapping[str, str]) -> str:
    named = [
        f"{'the rows without a month' if key == UNDATED.key else key} ({reason})" for key, reason in differing.items()
    ]
    more = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _minute(instant: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _age(age: timedelta) -> str:
    """Such as `5 minutes`, `3 hours` and `12 days`."""
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:  # or negative, by the clocks of two machines
        return "less than a minute"
    if minutes < 120:
        return counted(minutes, "minute")
    return counted(minutes // 60, "hour") if minutes < 48 * 60 else counted(minutes // (24 * 60), "day")
