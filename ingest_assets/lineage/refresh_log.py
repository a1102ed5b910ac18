"""What Dagster's event log gets of a refresh besides its months: one observation of the raw layer, and its check.

The observation says how many months have changed and which have not; an unchanged month gets no event of its own, so
that nothing downstream of it runs. A dry run has no observation, since it did nothing to the raw layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from ingest_assets.checks.results import Evaluated
from ingest_assets.checks.up_to_date import UP_TO_DATE, up_to_date
from ingest_assets.lineage.month_log import MonthLog
from ingest_assets.metadata import EXECUTION_TAG, Metadata
from spark_scripts.contract.months import UNDATED
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.wording import spans


def observe(log: MonthLog, found: Refresh, links: Metadata) -> bool:
    """Log the observation of a refresh unless it has been logged, and return whether it is new.

    `links` name the execution and lead to its pages.
    """
    if found.dry_run or log.history.has_observation(log.asset, found.execution):
        return False
    tags = {EXECUTION_TAG: found.execution}
    log.log(dg.AssetObservation(log.asset, description=found.summary(), metadata=_metadata(found, links), tags=tags))
    return True


def _metadata(found: Refresh, links: Metadata) -> Metadata:
    if found.skipped is not None:
        return {"skipped": dg.MetadataValue.text(found.skipped), **links}
    changed, unchanged = (keys - {UNDATED.key} for keys in (found.changed.keys(), found.unchanged.keys()))
    records = [dg.TableRecord({"month": key, "reason": reason}) for key, reason in sorted(found.changed.items())]
    return {
        "months_changed": dg.MetadataValue.int(len(changed)),
        "months_unchanged": dg.MetadataValue.int(len(unchanged)),
        **({"changed": dg.MetadataValue.table(records)} if records else {}),
        **({"unchanged": dg.MetadataValue.text(spans(unchanged))} if unchanged else {}),
        **({"no_state": dg.MetadataValue.text(found.no_state)} if found.no_state else {}),
        **links,
    }


def check_up_to_date(log: MonthLog, execution: str | None = None, months: Iterable[str] = ()) -> None:
    """Log the check of the table, and for `months` as well. Raises AwsError when the bucket cannot be read.

    In a run over partitions, Dagster 1.13 plans a check of the whole asset for each of them: without a result for each
    the check's history has them as skipped.
    """
    done = up_to_date(log.raw_layer, log.evaluated(None), execution)
    for month in months:
        log.log(Evaluated(log.asset, month, log.history.target(log.asset, month)).repeated(done))
    log.log(done)


def has_check(log: MonthLog, execution: str) -> bool:
    """Whether the check of the table has been logged for the execution."""
    return log.history.has_check(dg.AssetCheckKey(log.asset, UP_TO_DATE), None, execution)
