"""Explains why an execution failed, from what Step Functions, EMR Serverless and the Spark driver left."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest_assets.aws.executions import Execution, shortened
from ingest_assets.aws.job_runs import ExecutionJob
from ingest_assets.workflow.ingested import Ingested
from spark_scripts.contract.errors import IngestionError

# `IngestionError: …`, which the job ends with, or else `org.apache.spark.SparkException: …`.
_ERROR_LINES = (re.compile(r"\w+Error: "), re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b"))
# `26/11/22 21:25:03 INFO ShutdownHookManager: …`: what Spark logs before the job starts and after it ends.
_CHATTER = re.compile(r"[\d/]+ [\d:]+ (?:INFO |WARN (?:NativeCodeLoader|Utils|MetricsConfig|SparkConf): )")
_LINES = 20
_RETRY = (
    "fix the cause, then materialise the months that were not committed; on the page of a backfill, "
    "*Re-execute from failure* runs only these"
)
_ADVICE = {
    "is being written by execution": "wait until the execution named above has ended, then start again",
    "OutOfMemoryError|GC overhead|exit code 137": "deploy with a larger DriverMemory or ExecutorMemory",
    "No space left|File too large": "free disk: a Spark worker of EMR Serverless has 20 GB",
    "password|28P01|28000": "set the database's user and password with `python -m aws_setup secret`",
    "Connection to .* refused|cannot connect to|timed out|UnknownHost": (
        "check that PostgreSQL is up, and that SubnetIds and SecurityGroupIds let the job reach it"
    ),
    "ServiceQuotaExceeded": "wait for other applications to stop, or ask AWS for a larger quota of EMR Serverless",
    "AccessDenied|not authorized": (
        "grant the role named above this permission; `aws_setup deploy` repairs the stack's own roles"
    ),
}
"""What to try, by a pattern in the reason. The first match counts."""


class WorkflowError(IngestionError):
    """An execution did not ingest every month that it was asked for.

    `ingested` has the months that it did ingest and links to the pages that show the failure, `summary` is the message
    in one line.
    """

    def __init__(self, message: str, *, execution_name: str, summary: str, ingested: Ingested) -> None:
        super().__init__(message)
        self.execution_name = execution_name
        self.summary = summary
        self.ingested = ingested


@dataclass(frozen=True)
class Evidence:
    """What is known about a failure.

    `logs` holds the last lines of the driver's logs by address; the job's own come last.
    """

    execution: Execution | None
    job_run: ExecutionJob | None = None
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def spark_error(self) -> str | None:
        """The last error in the driver's logs, or what EMR Serverless reports if there is no such line."""
        lines = [line for log in self.logs.values() for line in log]
        for pattern in _ERROR_LINES:
            for line in reversed(lines):
                if pattern.match(line):
                    return line
        return self.job_run.details if self.job_run else None

    def reason(self) -> str | None:
        """The most precise reason that is known; None if none is."""
        known = self.spark_error() or (self.execution and self.execution.cause)
        return shortened(known) if known else None

    def advice(self) -> str:
        """What to try."""
        known = f"{self.reason()} {self.execution.error if self.execution else ''}"
        return next((text for pattern, text in _ADVICE.items() if re.search(pattern, known, re.IGNORECASE)), _RETRY)

    def lines(self) -> list[str]:
        """The lines that users see: the reason, the job run, what to try, and the end of the logs."""
        text = []
        if self.execution and self.execution.error:
            text.append(f"Step Functions: {self.execution.error}")
        if reason := self.reason():
            text.append(f"Spark: {reason}" if self.spark_error() else reason)
        if self.job_run and self.job_run.job_run_id:
            text.append(f"Job run {self.job_run.job_run_id} of application {self.job_run.application_id}")
        text.append(f"What to try: {self.advice()}")
        for uri, log in self.logs.items():
            if lines := _last_lines(log, self.spark_error()):
                text += [f"Last lines of {uri}:", *(f"    {line}" for line in lines)]
        return text


def _last_lines(log: Sequence[str], shown: str | None) -> Sequence[str]:
    """The last lines of a log, without Spark's lines about its start and end and without the `shown` line."""
    return [line for line in log if line != shown and not _CHATTER.match(line)][-_LINES:]
