"""What an execution will probably take and cost, from the executions before it.

The manifests say how much data an execution ingested, Step Functions says how long it and its Spark job took (for 90
days: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html). The time of reading and publishing
grows with the data: a line through the newest executions gives it. The rest of the job, and of the execution, takes as
long as it took. Every worker of the stack runs from the start of the job to its end (the template sets
spark.executor.instances to MaximumExecutors), so the job's seconds and the sizes of the workers give the cost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, linear_regression, median
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ingest_assets.aws.cost import Prices, Usage
from ingest_assets.aws.errors import error_code
from ingest_assets.aws.executions import describe, execution_arn
from ingest_assets.aws.job_runs import job_seconds
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

    from ingest_assets.aws.raw_layer import RawLayer

_NEWEST = 5
"""How many executions an estimate is based on."""

_SAME_SIZE = 1.5
"""Executions whose sizes differ by less than this factor do not show how the seconds grow with the size."""

_LEAST_BILLED = 60.0
"""Seconds that each worker is billed for at least: https://aws.amazon.com/emr/pricing/"""


@dataclass(frozen=True)
class Past:
    """An execution that succeeded: the bytes that it published, and its seconds.

    `reading` is the time from the first read to the last commit, `job` the time of the Spark job, `whole` that of the
    execution. The last two are None where Step Functions no longer knows the execution.
    """

    bytes: int
    reading: float
    job: float | None = None
    whole: float | None = None


@dataclass(frozen=True)
class Work:
    """What an execution is asked to ingest, sized by the manifests; `new` months have never been ingested."""

    tables: tuple[str, ...]
    months: int
    new: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """What the work will probably take. `seconds` is about the execution where `whole`, else about its reading only."""

    work: Work
    seconds: float
    usd: float
    whole: bool

    def __str__(self) -> str:
        start = "" if self.whole else " of reading (how long the start takes is not known yet)"
        return f"{_asked(self.work)}: about {duration(self.seconds)}{start}, {dollars(self.usd)}"

    def against(self, seconds: float, usd: float | None) -> str:
        """A sentence that compares the estimate with what the execution took and, if known, cost."""
        cost = "" if usd is None else f" and {dollars(usd)}"
        return (
            f"estimated about {duration(self.seconds)} and {dollars(self.usd)}; took {duration(seconds)}{cost}"
            f" ({self.off_percent(seconds):+.0f} % in time)"
        )

    def off_percent(self, seconds: float) -> float:
        """By how many percent an execution that took `seconds` was longer (+) or shorter (-) than estimated, to 0.1."""
        return round(100 * (seconds / self.seconds - 1), 1) if self.seconds else 0.0


def nothing_known(work: Work) -> str:
    """The sentence for work that no past execution can be compared with."""
    return f"{_asked(work)}: how long it takes and what it costs is not known before a first execution"


def estimate(work: Work, past: Sequence[Past], workers: Usage, prices: Prices) -> Estimate | None:
    """The estimate for `work`; None where nothing is known. `workers` is what all workers use in an hour."""
    if not past or not work.bytes:
        return None
    reading = _reading(work.bytes, past)
    in_job = [one.job - one.reading for one in past if one.job is not None]
    around_job = [one.whole - one.job for one in past if one.whole is not None and one.job is not None]
    job = reading + (median(in_job) if in_job else 0.0)
    billed = workers.share(max(job, _LEAST_BILLED) / 3600)
    whole = job + (median(around_job) if around_job else 0.0)
    return Estimate(work, whole, billed.usd(prices), whole=bool(around_job))


def _reading(size: int, past: Sequence[Past]) -> float:
    """The least-squares line through the past executions at `size`, with neither part below zero."""
    sizes, seconds = [one.bytes for one in past], [one.reading for one in past]
    least = min(seconds)
    if max(sizes) < _SAME_SIZE * min(sizes):
        return max(least, fmean(seconds) * size / fmean(sizes))
    slope, start = linear_regression(sizes, seconds)
    if slope <= 0:
        return fmean(seconds)
    return start + slope * size if start > 0 else max(least, size * sum(seconds) / sum(sizes))


def look(
    raw_layer: RawLayer,
    step_functions: SFNClient,
    state_machine_arn: str,
    asked: Mapping[str, Collection[Month]],
) -> tuple[Work, list[Past]]:
    """The work that `asked` names (months by table), and the newest executions that ingested these tables."""
    history = _History(raw_layer, step_functions, state_machine_arn)
    current = {table: raw_layer.current_manifests(table) for table in asked}
    manifests = [manifest for found in current.values() for manifest in found]
    return _work(asked, current), history.newest(manifests)


def _work(asked: Mapping[str, Collection[Month]], current: Mapping[str, Sequence[Manifest]]) -> Work:
    rows = size = 0.0
    new = 0
    for table, months in asked.items():
        known = {manifest.partition: manifest for manifest in current[table] if manifest.partition != UNDATED}
        found = [known[month] for month in months if month in known]
        missing = len(months) - len(found)
        new += missing
        rows += sum(one.rows for one in found)
        size += sum(one.bytes for one in found)
        if known:  # a missing month counts as an average one
            rows += missing * fmean(one.rows for one in known.values())
            size += missing * fmean(one.bytes for one in known.values())
    return Work(tuple(asked), sum(len(months) for months in asked.values()), new, round(rows), round(size))


class _History:
    """What the bucket and Step Functions know about past executions."""

    def __init__(self, raw_layer: RawLayer, step_functions: SFNClient, state_machine_arn: str) -> None:
        self._raw_layer = raw_layer
        self._step_functions = step_functions
        self._state_machine_arn = state_machine_arn

    def newest(self, manifests: Iterable[Manifest]) -> list[Past]:
        """The newest executions that left these manifests."""
        newest = sorted({(manifest.finished, manifest.execution) for manifest in manifests}, reverse=True)
        names = list(dict.fromkeys(name for _, name in newest))[:_NEWEST]
        return [past for name in names if (past := self._past(name)) is not None]

    def _past(self, name: str) -> Past | None:
        manifests = self._raw_layer.manifests_of(name)
        if not any(manifest.bytes for manifest in manifests):
            return None
        size, reading = sum(manifest.bytes for manifest in manifests), _reading_seconds(manifests)
        arn = execution_arn(self._state_machine_arn, name)
        try:
            execution, job = describe(self._step_functions, arn), job_seconds(self._step_functions, arn)
        except ClientError as error:
            if error_code(error) != "ExecutionDoesNotExist":
                raise
            return Past(size, reading)
        if execution.status != "SUCCEEDED" or job is None or not (execution.started and execution.stopped):
            return None
        return Past(size, reading, job, (execution.stopped - execution.started).total_seconds())


def _reading_seconds(manifests: Sequence[Manifest]) -> float:
    """From the first read to the last commit: months that are read together have overlapping times."""
    first = min(datetime.fromisoformat(manifest.started) for manifest in manifests)
    return (max(datetime.fromisoformat(manifest.finished) for manifest in manifests) - first).total_seconds()


def _asked(work: Work) -> str:
    tables = work.tables[0] if len(work.tables) == 1 else counted(len(work.tables), "table")
    rows = f", about {_rounded(work.rows):,} rows" if work.rows else ""
    if not work.new:
        new = ""
    elif work.new == work.months:
        new = " (never ingested)"
    else:
        new = f" ({work.new:,} of them never ingested, taken as average months)"
    return f"{counted(work.months, 'month')} of {tables}{new}{rows}"


def _rounded(number: int) -> int:
    """The number rounded to two digits, which is as exact as an estimate is."""
    return round(number, 2 - len(str(number))) if number >= 100 else number


def duration(seconds: float) -> str:
    """Seconds as a text in seconds, minutes or hours."""
    if seconds < 90:
        return counted(round(seconds), "second")
    if seconds < 90 * 60:
        return counted(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def dollars(usd: float) -> str:
    """US dollars, in cents."""
    return f"${usd:,.2f}" if usd >= 0.01 else "less than $0.01"
