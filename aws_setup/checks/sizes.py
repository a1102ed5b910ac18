"""Whether EMR Serverless offers workers of the sizes in the parameters, and whether the application can hold them.

https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/app-behavior.html#worker-configs
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from aws_setup.checks.findings import Finding, error

CHECK = "size"

# The largest memory in GB of a worker with that many vCPUs.
_MOST_GB = {1: 8, 2: 16, 4: 30, 8: 60, 16: 120}
_OVERHEAD, _LEAST_OVERHEAD_GB = 0.1, 0.375  # what Spark adds to its memory, at least 384 MB
_SET = re.compile(r"spark\.(driver|executor)\.(cores|memory|memoryOverhead)|--(driver|executor)-(cores|memory)")


def check(parameters: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the sizes. No finding when SparkSubmitParameters sets other sizes."""
    if _SET.search(parameters["SparkSubmitParameters"]):
        return
    for role in ("Driver", "Executor"):
        cores, needed = int(parameters[f"{role}Cores"]), _worker_gb(parameters[f"{role}Memory"])
        most = _MOST_GB[cores]
        if needed > most:
            given = f"{role}Memory {parameters[f'{role}Memory']}"
            yield error(
                CHECK,
                f"{given} needs a worker of {needed} GB with Spark's overhead, and a worker of {cores} vCPU has at most"
                f" {most} GB: give less memory, or more {role}Cores",
            )
    yield from _room(parameters)


def _worker_gb(memory: str) -> int:
    gigabytes = int(memory.removesuffix("g"))
    return math.ceil(gigabytes + max(gigabytes * _OVERHEAD, _LEAST_OVERHEAD_GB))


def _room(parameters: Mapping[str, str]) -> Iterator[Finding]:
    """An error when the application cannot hold an executor beside the driver: its jobs would wait forever."""
    cpu = int(parameters["DriverCores"]) + int(parameters["ExecutorCores"])
    memory = _worker_gb(parameters["DriverMemory"]) + _worker_gb(parameters["ExecutorMemory"])
    for name, needed, unit in (("MaximumCpu", cpu, "vCPU"), ("MaximumMemory", memory, "GB")):
        if int(parameters[name].removesuffix(unit)) < needed:
            yield error(
                CHECK, f"{name} {parameters[name]} is too small for a driver and an executor: give {needed}{unit}"
            )
