"""What a job run used and cost, and each month's share of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ingest_assets.aws.errors import error_code
from spark_scripts.contract.manifest import Manifest

if TYPE_CHECKING:
    import dagster as dg
    from mypy_boto3_emr_serverless import EMRServerlessClient


@dataclass(frozen=True)
class Prices:
    """US dollars per hour of a vCPU and of a GB of memory."""

    vcpu_hour: float
    gb_hour: float


LIST_PRICES = Prices(vcpu_hour=0.052624, gb_hour=0.0057785)
"""The prices of EMR Serverless on x86 in us-east-1."""


@dataclass(frozen=True)
class Usage:
    """Hours of vCPUs and of GB of memory."""

    vcpu_hours: float
    gb_hours: float

    def share(self, part: float) -> Usage:
        """The usage multiplied by `part`, a number from 0 to 1."""
        return Usage(self.vcpu_hours * part, self.gb_hours * part)

    def usd(self, prices: Prices) -> float:
        """The cost in US dollars at these prices."""
        return self.vcpu_hours * prices.vcpu_hour + self.gb_hours * prices.gb_hour

    def metadata(self, prices: Prices) -> dict[str, dg.MetadataValue]:
        """Hours and US dollars as metadata, as numbers that Dagster plots."""
        import dagster as dg  # noqa: PLC0415 (the command line does without it)

        figures = {"vcpu_hours": self.vcpu_hours, "gb_hours": self.gb_hours, "usd": self.usd(prices)}
        return {name: dg.MetadataValue.float(figure) for name, figure in figures.items()}


_OVERHEAD, _LEAST_OVERHEAD_GB = 0.1, 0.375  # what Spark takes beside its memory, 384 MB at least


def worker_gb(memory: str) -> int:
    """The whole GB of a worker whose Spark memory is `memory`, such as `6g`."""
    gigabytes = int(memory.removesuffix("g"))
    return math.ceil(gigabytes + max(gigabytes * _OVERHEAD, _LEAST_OVERHEAD_GB))


def workers(parameters: Mapping[str, str]) -> Usage:
    """What the workers of a job use in an hour, by the stack's parameters: the driver and MaximumExecutors executors.

    Sizes that SparkSubmitParameters sets are not looked at.
    """
    executors = int(parameters["MaximumExecutors"])
    return Usage(
        int(parameters["DriverCores"]) + executors * int(parameters["ExecutorCores"]),
        worker_gb(parameters["DriverMemory"]) + executors * worker_gb(parameters["ExecutorMemory"]),
    )


def usage(client: EMRServerlessClient, application_id: str, job_run_id: str) -> Usage | None:
    """What the job run is billed for, or has used so far; None if EMR Serverless does not know.

    The bill appears shortly after the end of the job, and disappears when the application is deleted.
    """
    try:
        run = client.get_job_run(applicationId=application_id, jobRunId=job_run_id)["jobRun"]
    except ClientError as error:
        if error_code(error) in ("ResourceNotFoundException", "ValidationException"):
            return None
        raise
    hours = run.get("billedResourceUtilization") or run.get("totalResourceUtilization")
    return Usage(hours.get("vCPUHour", 0.0), hours.get("memoryGBHour", 0.0)) if hours else None


def by_month(total: Usage, manifests: Iterable[Manifest]) -> dict[str, Usage]:
    """Split the usage of a job run among its months in proportion to their seconds; the shares add up to `total`."""
    seconds = {manifest.month: float(manifest.seconds) for manifest in manifests}
    whole = sum(seconds.values())
    return {month: total.share(taken / whole if whole else 1 / len(seconds)) for month, taken in seconds.items()}
