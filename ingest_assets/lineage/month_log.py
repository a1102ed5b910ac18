"""What Dagster's event log gets of an ingested month, decided once for two callers.

One caller is the step of a run that goes on (assets.py), the other records runs that have ended and executions that
Dagster did not start (recorder.py). Every check result carries the materialisation that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from ingest_assets.asset_keys import raw_layer_key
from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.checks.results import (
    Evaluated,
    evaluations,
    evaluations_of_nothing,
    not_ingested,
    refreshed,
    summary,
)
from ingest_assets.checks.specs import CHECKS, CONTENT_UNCHANGED, EXECUTION_SUCCEEDED, INGESTED_IN_TIME
from ingest_assets.lineage.event_log import EventLog
from ingest_assets.lineage.source_log import source_events
from ingest_assets.metadata import IngestedMonth, Metadata
from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Manifest

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


@dataclass(frozen=True)
class Failure:
    """Why an execution did not ingest its months. `at` is when it ended, None for the newest execution."""

    reason: str
    execution_name: str
    links: Metadata
    at: datetime | None = None

    def precedes(self, manifest: Manifest | None) -> bool:
        """Whether the month has been ingested since."""
        return manifest is not None and self.at is not None and self.at < datetime.fromisoformat(manifest.finished)


@dataclass(frozen=True)
class MonthLog:
    """Passes the events of months of a table to `log`, with the results of the checks that are named in `checks`.

    Every method raises AwsError when the bucket cannot be read; what was logged before stays.
    """

    history: EventLog
    raw_layer: RawLayer
    table: TableSpec
    log: Callable[[Event], None]
    checks: Collection[str] = field(default=CHECKS)

    @property
    def asset(self) -> dg.AssetKey:
        """The key of the table's raw layer."""
        return raw_layer_key(self.table.name)

    def unrecorded(self, months: Iterable[IngestedMonth]) -> list[IngestedMonth]:
        """The months whose materialisation the event log does not have."""
        return [
            month
            for month in months
            if not self.history.has_materialization(self.asset, month.manifest.month, month.manifest.execution)
        ]

    def materialize(self, months: Iterable[IngestedMonth]) -> None:
        """Log a materialisation of each month that has none of its execution."""
        for month in self.unrecorded(months):
            label, metadata = month.manifest.month, month.metadata
            self.log(
                dg.AssetMaterialization(self.asset, partition=label, metadata=metadata, tags=month.tags(self.table))
            )

    def observe_source(self, manifest: Manifest) -> None:
        """Log what the execution of the manifest found of the table in PostgreSQL, unless that has been logged."""
        for event in source_events(self.history, self.table, manifest):
            self.log(event)

    def check(self, manifest: Manifest) -> None:
        """Log the checks of a month that is committed."""
        for result in evaluations(self.raw_layer, self.evaluated(manifest.month), manifest, self.checks):
            self.log(result)

    def check_current(self, month: str) -> list[dg.AssetCheckEvaluation]:
        """Log the checks of the month as it is now, whoever ingested it; reads its files."""
        return self._check_current(month, self._current(month), self.checks, read_files=True)

    def check_all(self, months: Iterable[str]) -> None:
        """Log the checks of months as they are now, and of the asset, because the run names no month."""
        results = [result for month in months for result in self.check_current(month)]
        for check in self.checks:
            of_months = [result for result in results if result.check_name == check]
            self.log(summary(self.evaluated(None), check, of_months))

    def leave(self, month: str, failure: Failure | None) -> None:
        """Log the checks of a month that should have been ingested and was not, and so is as it was before.

        Without results Dagster shows the checks of the run as skipped or failed. If `failure` is None, a user
        terminated the run, which fails no check. A failure from before the month was last ingested fails none either.
        """
        manifest = self._current(month)
        if failure is None or failure.precedes(manifest):
            self._check_current(month, manifest, self.checks)
            return
        self.fail(month, failure)
        self._check_current(month, manifest, [check for check in self.checks if check != EXECUTION_SUCCEEDED])

    def fail(self, month: str | None, failure: Failure) -> None:
        """Log that the last execution for the month failed, or for None that the last one for all months did."""
        if EXECUTION_SUCCEEDED in self.checks:
            self.log(not_ingested(self.evaluated(month), failure.reason, failure.execution_name, failure.links))

    def succeed(self, execution: str) -> None:
        """Log that a refresh of the table has succeeded, where the last execution for all months had failed."""
        last = next(self.history.results(dg.AssetCheckKey(self.asset, EXECUTION_SUCCEEDED), None), None)
        if last is not None and not last[0].passed:
            self.log(refreshed(self.evaluated(None), execution))

    def evaluated(self, month: str | None) -> Evaluated:
        """What a check that is made now is about."""
        return Evaluated(self.asset, month, self.history.target(self.asset, month), self.table)

    def _current(self, month: str) -> Manifest | None:
        return self.raw_layer.current(self.table.name, month)

    def _check_current(
        self, month: str, manifest: Manifest | None, checks: Collection[str], *, read_files: bool = False
    ) -> list[dg.AssetCheckEvaluation]:
        evaluated = self.evaluated(month)
        lasting = (EXECUTION_SUCCEEDED, INGESTED_IN_TIME, *(() if read_files else (CONTENT_UNCHANGED,)))
        wanted = [check for check in lasting if check in checks]
        standing = [found for check in wanted if (found := self._standing_failure(check, month, manifest))]
        results = [evaluated.repeated(failure) for failure in standing]
        others = [check for check in checks if check not in {failure.check_name for failure in standing}]
        if manifest is None:
            results += evaluations_of_nothing(self.raw_layer, evaluated, others)
        else:
            results += evaluations(self.raw_layer, evaluated, manifest, others, read_files=read_files)
        for result in results:
            self.log(result)
        return results

    def _standing_failure(self, check: str, month: str, manifest: Manifest | None) -> dg.AssetCheckEvaluation | None:
        """The last result of the check when it failed, unless the month has been ingested since."""
        last = self.history.last_result(dg.AssetCheckKey(self.asset, check), month)
        if last is None or last[0].passed:
            return None
        done, at = last
        return None if manifest is not None and at < datetime.fromisoformat(manifest.finished) else done
