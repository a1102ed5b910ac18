"""What the log of a Dagster run says while its execution goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingest_assets.aws.executions import STATE_OF_JOB, StateChange
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    import dagster as dg

    from ingest_assets.aws.raw_layer import RawLayer


class RunLog:
    """Logs each state of the execution and each line of the Spark job once, and each month when it is committed."""

    def __init__(
        self, log: dg.DagsterLogManager, raw_layer: RawLayer, execution: str, table: str, months: Sequence[str]
    ) -> None:
        self._log = log
        self._raw_layer = raw_layer
        self._execution = execution
        self._table = table
        self._waiting = list(months)
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
        """Log the months that have been committed. Raises AwsError.

        The job commits the months in their order, so that no month after the first uncommitted one is looked up.
        """
        while self._waiting:
            month = self._waiting[0]
            manifest = self._raw_layer.committed(self._table, [month], self._execution).get(month)
            if manifest is None:
                return
            rows, size = counted(manifest.rows, "row"), counted(manifest.bytes, "byte")
            self._log.info(f"{month}: {rows}, {size}, {manifest.seconds:.1f} s")
            del self._waiting[0]
