"""What the log of a Dagster run says while its execution goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingest_assets.aws.executions import STATE_OF_JOB, StateChange
from spark_scripts.contract.months import UNDATED
from spark_scripts.contract.wording import counted, spans

if TYPE_CHECKING:
    import dagster as dg

    from ingest_assets.aws.raw_layer import RawLayer
    from spark_scripts.contract.refresh import Refresh


def reasons(found: Refresh) -> list[str]:
    """A line for each reason for which a refresh ingests months, such as `2024-01 to 2024-03: columns`."""
    keys: dict[str, list[str]] = {}
    for key, reason in sorted(found.changed.items()):
        keys.setdefault(reason, []).append(key)
    return [f"{_named(some)}: {reason}" for reason, some in keys.items()]


def _named(keys: list[str]) -> str:
    undated = ["the rows without a month"] if UNDATED.key in keys else []
    return ", ".join(filter(None, [spans(key for key in keys if key != UNDATED.key), *undated]))


class RunLog:
    """Logs each state of the execution and each line of the Spark job once, and each month when it is committed.

    `months` are those that are waited for; None for a refresh, whose changed months are logged when they are found.
    """

    def __init__(
        self, log: dg.DagsterLogManager, raw_layer: RawLayer, execution: str, table: str, months: Sequence[str] | None
    ) -> None:
        self._log = log
        self._raw_layer = raw_layer
        self._execution = execution
        self._table = table
        self._waiting = None if months is None else list(months)
        self._last_event = 0
        self._lines = 0
        self._summary = ""

    def report_change(self, change: StateChange) -> bool:
        """Log a change of the execution unless it has been logged; whether it is new."""
        if change.event_id <= self._last_event:
            return False
        self._last_event = change.event_id
        (self._log.warning if change.failed else self._log.info)(change.text)
        if change.state == STATE_OF_JOB:
            self._log.info(f"To open the job's Spark UI: python -m aws_setup dashboard {self._execution}")
        return True

    def report_job(self) -> None:
        """Log the Spark job's new lines, and how far it has come if that has changed. Raises AwsError."""
        found = self._raw_layer.progress(self._execution)
        if found is None:
            return
        for line in found.new_lines(self._lines):
            self._log.info(f"Spark job: {line}")
        self._lines = found.said
        if found.reading and found.summary() != self._summary:
            self._summary = found.summary()
            self._log.info(f"Spark job: {self._summary}")

    def report_months(self) -> None:
        """Log what a refresh found, and the months that have been committed. Raises AwsError or DocumentError.

        The job commits the months in their order, so that no month after the first uncommitted one is looked up.
        """
        if self._waiting is None and (found := self._raw_layer.refresh(self._execution, self._table)):
            self._log.info("\n".join([f"{self._table}: {found.summary()}", *reasons(found)]))
            self._waiting = found.to_ingest()
        while self._waiting:
            month = self._waiting[0]
            manifest = self._raw_layer.committed(self._table, [month], self._execution).get(month)
            if manifest is None:
                return
            rows, size = counted(manifest.rows, "row"), counted(manifest.bytes, "byte")
            self._log.info(f"{month}: {rows}, {size}, {manifest.seconds:.1f} s")
            del self._waiting[0]
