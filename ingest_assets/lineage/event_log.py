"""What Dagster's event log holds of executions, whoever recorded it, so that nothing is recorded twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg

from ingest_assets._compat import AssetCheckExecutionRecord, CheckTarget, PartitionKeyFilter
from ingest_assets.metadata import EXECUTION_NAME

_PAGE = 1000
_OBSERVATIONS = 100  # more than there are executions in the days for which a queue keeps a message


class EventLog:
    """Reads the event log. Methods that begin with `has` read each month once; the others read it on every call."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._materialized: dict[tuple[dg.AssetKey, str], set[str]] = {}
        self._evaluated: dict[tuple[dg.AssetCheckKey, str | None], set[str]] = {}

    def has_materialization(self, asset: dg.AssetKey, month: str, execution: str) -> bool:
        """Whether the month of the execution has been recorded."""
        found = self._materialized.get((asset, month))
        if found is None:
            found = self._materialized[asset, month] = set(self._materializations(asset, month))
        return execution in found

    def has_observation(self, asset: dg.AssetKey, execution: str) -> bool:
        """Whether one of the last observations of the asset is of the execution."""
        found = self._instance.fetch_observations(asset, limit=_OBSERVATIONS).records
        events = [record.asset_observation for record in found]
        return any(event and execution in _execution(event.metadata) for event in events)

    def has_check(self, check: dg.AssetCheckKey, month: str | None, execution: str) -> bool:
        """Whether the result of the check for the month of the execution has been recorded."""
        found = self._evaluated.get((check, month))
        if found is None:
            found = self._evaluated[check, month] = set(self._evaluations(check, month))
        return execution in found

    def target(self, asset: dg.AssetKey, month: str | None) -> CheckTarget | None:
        """The newest materialisation of the month, or of any month for None: a check made now is about it.

        Dagster shows a result that names another materialisation, or none, as outdated.
        """
        wanted = dg.AssetRecordsFilter(asset, asset_partitions=None if month is None else [month])
        for record in self._instance.fetch_materializations(wanted, limit=1).records:
            return CheckTarget(
                storage_id=record.storage_id, run_id=record.event_log_entry.run_id, timestamp=record.timestamp
            )
        return None

    def last_result(self, check: dg.AssetCheckKey, month: str) -> tuple[dg.AssetCheckEvaluation, datetime] | None:
        """The newest result of the check for the month, and its time."""
        return next(self.results(check, month), None)

    def results(self, check: dg.AssetCheckKey, month: str | None) -> Iterator[tuple[dg.AssetCheckEvaluation, datetime]]:
        """The results of the check for the month, the newest first, each with its time.

        For None they are the results without a month.
        """
        for record in self._history(check, month, page=10):
            if record.event is not None and isinstance(
                record.evaluation, dg.AssetCheckEvaluation
            ):  # else it is only planned
                yield record.evaluation, datetime.fromtimestamp(record.event.timestamp, UTC)

    def checked_in(self, run_id: str) -> set[tuple[str, str | None]]:
        """The check and the month of every result that the run logged."""
        entries = self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = (entry.get_dagster_event().asset_check_evaluation_data for entry in entries)
        return {(evaluation.check_name, evaluation.partition) for evaluation in found}

    def _materializations(self, asset: dg.AssetKey, month: str) -> Iterator[str]:
        wanted = dg.AssetRecordsFilter(asset, asset_partitions=[month])
        cursor, more = None, True
        while more:
            page = self._instance.fetch_materializations(wanted, limit=_PAGE, cursor=cursor)
            cursor, more = page.cursor, page.has_more
            for record in page.records:
                if record.asset_materialization:
                    yield from _execution(record.asset_materialization.metadata)

    def _evaluations(self, check: dg.AssetCheckKey, month: str | None) -> Iterator[str]:
        for record in self._history(check, month, page=_PAGE):
            if isinstance(record.evaluation, dg.AssetCheckEvaluation):  # else it is only planned
                yield from _execution(record.evaluation.metadata)

    def _history(self, check: dg.AssetCheckKey, month: str | None, page: int) -> Iterator[AssetCheckExecutionRecord]:
        """The records of the check for the month, the newest first."""
        storage, cursor = self._instance.event_log_storage, None
        while True:
            records = storage.get_asset_check_execution_history(
                check, limit=page, cursor=cursor, partition_filter=PartitionKeyFilter(key=month)
            )
            yield from records
            if len(records) < page:
                return
            cursor = records[-1].id


def _execution(metadata: Mapping[str, dg.MetadataValue]) -> Iterator[str]:
    if EXECUTION_NAME in metadata:
        yield str(metadata[EXECUTION_NAME].value)
