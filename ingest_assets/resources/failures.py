"""Failures of an execution, told from what Step Functions, EMR Serverless and the Spark driver left behind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest_assets.executions import Execution
from ingest_assets.job_runs import JobRun
from ingest_assets.metadata import Metadata
from spark_scripts.errors import IngestionError

# `IngestionError: …`, which the job ends with, or else `org.apache.spark.SparkException: …`.
_ERROR_LINES = (re.compile(r"\w+Error: "), re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b"))
# `26/11/22 21:25:03 INFO ShutdownHookManager: …`: what Spark says after the job has said its last.
_CHATTER = re.compile(r"[\d/]+ [\d:]+ INFO ")
_LINES = 20
_LONGEST = 2000  # characters of an error or cause; Step Functions gives up to 32,768


class WorkflowError(IngestionError):
    """An execution did not ingest all that it was asked to.

    `committed` is the metadata of the months that it did ingest, `links` leads to where the failure can be seen.
    """

    def __init__(self, message: str, *, committed: Mapping[str, Metadata], links: Metadata) -> None:
        super().__init__(message)
        self.committed = committed
        self.links = links


@dataclass(frozen=True)
class Evidence:
    """What is known of a failure. `logs` holds the ends of the driver's logs by address, what the job said last."""

    execution: Execution | None
    job_run: JobRun | None = None
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def spark_error(self) -> str | None:
        """The last error in the driver's logs; what EMR Serverless says where there is no such line."""
        lines = [line for log in self.logs.values() for line in log]
        for pattern in _ERROR_LINES:
            for line in reversed(lines):
                if pattern.match(line):
                    return line
        return self.job_run.details if self.job_run else None

    def lines(self) -> list[str]:
        """The reason, the job run and the end of its log, for people."""
        text = []
        if self.execution and self.execution.error:
            text.append(f"Step Functions: {self.execution.error}")
        if error := self.spark_error():
            text.append(f"Spark: {_shortened(error)}")
        elif self.execution and self.execution.cause:
            text.append(_shortened(self.execution.cause))
        if self.job_run and self.job_run.job_run_id:
            text.append(f"Job run {self.job_run.job_run_id} of application {self.job_run.application_id}")
        for uri, log in self.logs.items():
            if log:
                text += [f"Last lines of {uri}:", *(f"    {line}" for line in _last_lines(log))]
        return text


def _last_lines(log: Sequence[str]) -> Sequence[str]:
    """The last lines of a log, without those that Spark writes while it shuts down."""
    end = len(log)
    while end and _CHATTER.match(log[end - 1]):
        end -= 1
    return log[max(0, end - _LINES) : end] or log[-_LINES:]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
