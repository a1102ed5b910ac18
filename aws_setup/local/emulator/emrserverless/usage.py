"""Usage figures of EMR Serverless, computed from the worker sizes of a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

# Defaults of https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/jobs-spark.html
_CORES, _MEMORY, _DISK_GB, DEFAULT_EXECUTORS = "4", "14G", 20.0, "3"
_MINIMUM_BILLED_SECONDS = 60
_UNITS = {"k": 1 / 1024**2, "m": 1 / 1024, "g": 1.0, "t": 1024.0}


@dataclass(frozen=True)
class Workers:
    """The workers that a job occupies: its driver and all its executors."""

    count: int
    cpus: float
    memory_gb: float
    disk_gb: float


def workers(conf: Mapping[str, str]) -> Workers:
    """The workers of a job with this Spark configuration. Every executor is assumed to live as long as the driver."""
    executors = int(conf.get("spark.executor.instances", DEFAULT_EXECUTORS))
    if "spark.dynamicAllocation.maxExecutors" in conf:
        executors = min(executors, int(conf["spark.dynamicAllocation.maxExecutors"]))
    cpus = float(conf.get("spark.driver.cores", _CORES)) + executors * float(conf.get("spark.executor.cores", _CORES))
    memory = _worker_memory(conf, "driver") + executors * _worker_memory(conf, "executor")
    return Workers(1 + executors, cpus, memory, (1 + executors) * _DISK_GB)


def utilization(occupied: Workers, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """The figures totalResourceUtilization and billedResourceUtilization.

    AWS bills at least 60 s per worker, and storage beyond 20 GB per worker
    (https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/jobs-spark.html).
    """
    billed = max(seconds, _MINIMUM_BILLED_SECONDS) if seconds else 0.0
    free_disk = occupied.count * _DISK_GB
    return _hours(occupied, seconds, occupied.disk_gb), _hours(occupied, billed, max(0.0, occupied.disk_gb - free_disk))


def _hours(occupied: Workers, seconds: float, disk_gb: float) -> dict[str, float]:
    hours = seconds / 3600
    return {
        "vCPUHour": round(occupied.cpus * hours, 3),
        "memoryGBHour": round(occupied.memory_gb * hours, 3),
        "storageGBHour": round(disk_gb * hours, 3),
    }


def _worker_memory(conf: Mapping[str, str], role: str) -> float:
    """GB of one worker: Spark's memory and its overhead (10 %, at least 384 MB), rounded up to whole GB."""
    memory = _gigabytes(conf.get(f"spark.{role}.memory", _MEMORY))
    overhead = conf.get(f"spark.{role}.memoryOverhead")
    extra = _gigabytes(overhead) if overhead else max(0.1 * memory, 0.375)
    return float(ceil(memory + extra))


def _gigabytes(size: str) -> float:
    """A size in Spark's notation (4g, 512m, 4GB) in GB. A number without a unit is in MiB."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])?(?:i?b)?\s*", size, re.IGNORECASE)
    if match is None:
        raise ValueError(f"not a memory size: {size!r}")
    return float(match[1]) * _UNITS[(match[2] or "m").lower()]
