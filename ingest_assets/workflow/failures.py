"""Failures of an execution, told from what Step Functions, EMR Serverless and the Spark driver left behind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest_assets.aws.executions import Execution, shortened
from ingest_assets.aws.job_runs import ExecutionJob
from ingest_assets.metadata import IngestedMonth, Metadata
from spark_scripts.contract.errors import IngestionError

# `IngestionError: …`, which the job ends with, or else `org.apache.spark.SparkException: …`.
_ERROR_LINES = (re.compile(r"\w+Error: "), re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b"))
# `26/11/22 21:25:03 INFO ShutdownHookManager: …`: what Spark says before the job has begun and after its last word.
_CHATTER = re.compile(r"[\d/]+ [\d:]+ (?:INFO |WARN (?:NativeCodeLoader|Utils|MetricsConfig|SparkConf): )")
_LINES = 20
_RETRY = (
    "mend the cause, then materialise again the months that were not committed; on the page of a backfill, "
    "*Re-execute from failure* does these alone"
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
    "AccessDenied|not authorized": "give the role named above the right; `aws_setup deploy` mends the stack's own",
}
"""What to try, by what the reason says. The first that is found counts."""


class WorkflowError(IngestionError):
    """An execution did not ingest all that it was asked to.

    `committed` are the months that it did ingest, `links` leads to where the failure can be seen, `summary` is one
    line of the message.
    """

    def __init__(
        self, message: str, *, execution_name: str, summary: str, committed: Sequence[IngestedMonth], links: Metadata
    ) -> None:
        super().__init__(message)
        self.execution_name = execution_name
        self.summary = summary
        self.committed = committed
        self.links = links


@dataclass(frozen=True)
class Evidence:
    """What is known of a failure. `logs` holds the ends of the driver's logs by address, what the job said last."""

    execution: Execution | None
    job_run: ExecutionJob | None = None
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def spark_error(self) -> str | None:
        """The last error in the driver's logs; what EMR Serverless says where there is no such line."""
        lines = [line for log in self.logs.values() for line in log]
        for pattern in _ERROR_LINES:
            for line in reversed(lines):
                if pattern.match(line):
                    return line
        return self.job_run.details if self.job_run else None

    def reason(self) -> str | None:
        """What failed, as near to the cause as is known."""
        known = self.spark_error() or (self.execution and self.execution.cause)
        return shortened(known) if known else None

    def advice(self) -> str:
        """What to try."""
        known = f"{self.reason()} {self.execution.error if self.execution else ''}"
        return next((text for pattern, text in _ADVICE.items() if re.search(pattern, known, re.IGNORECASE)), _RETRY)

    def lines(self) -> list[str]:
        """The reason, the job run and the end of its log, for people."""
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


def _last_lines(log: Sequence[str], told: str | None) -> Sequence[str]:
    """The last lines of a log, without those that Spark writes at its start and end, and that which is told already."""
    return [line for line in log if line != told and not _CHATTER.match(line)][-_LINES:]
