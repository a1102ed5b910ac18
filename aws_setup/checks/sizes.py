"""Whether EMR Serverless offers workers of the sizes in the parameters, and whether the application can hold them.

https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/app-behavior.html#worker-configs
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from aws_setup.checks.findings import Finding, error
from ingest_assets.aws.cost import worker_gb

CHECK = "size"

# The largest memory in GB of a worker with that many vCPUs.
_MOST_GB = {1: 8, 2: 16, 4: 30, 8: 60, 16: 120}
_SET = re.compile(r"spark\.(driver|executor)\.(cores|memory|memoryOverhead)|--(driver|executor)-(cores|memory)")


def check(parameters: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the sizes. No finding when SparkSubmitParameters sets other sizes."""
    if _SET.search(parameters["SparkSubmitParameters"]):
        return
    for role in ("Driver", "Executor"):
        cores, needed = int(parameters[f"{role}Cores"]), worker_gb(parameters[f"{role}Memory"])
        most = _MOST_GB[cores]
        if needed > most:
            given = f"{role}Memory {parameters[f'{role}Memory']}"
            yield error(
                CHECK,
                f"{given} needs a worker of {needed} GB with Spark's overhead, and a worker of {cores} vCPU has at most"
                f" {most} GB: give less memory, or more {role}Cores",
            )
    yield from _room(parameters)


def _room(parameters: Mapping[str, str]) -> Iterator[Finding]:
    """An error when the application cannot hold an executor beside the driver: its jobs would wait forever."""
    cpu = int(parameters["DriverCores"]) + int(parameters["ExecutorCores"])
    memory = worker_gb(parameters["DriverMemory"]) + worker_gb(parameters["ExecutorMemory"])
    for name, needed, unit in (("MaximumCpu", cpu, "vCPU"), ("MaximumMemory", memory, "GB")):
        if int(parameters[name].removesuffix(unit)) < needed:
            yield error(
                CHECK, f"{name} {parameters[name]} is too small for a driver and an executor: give {needed}{unit}"
            )
