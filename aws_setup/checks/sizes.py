"""Whether EMR Serverless has workers of the size that the parameters ask for, and the application room for them.

https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/app-behavior.html#worker-configs
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from aws_setup.checks.findings import Finding, error
from ingest_assets.aws.cost import worker_gb

CHECK = "size"

# The most GB of a worker with that many vCPUs.
_MOST_GB = {1: 8, 2: 16, 4: 30, 8: 60, 16: 120}
_SET = re.compile(r"spark\.(driver|executor)\.(cores|memory|memoryOverhead)|--(driver|executor)-(cores|memory)")


def check(parameters: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the sizes. Nothing is said where SparkSubmitParameters sets sizes of its own."""
    if _SET.search(parameters["SparkSubmitParameters"]):
        return
    for role in ("Driver", "Executor"):
        cores, needed = int(parameters[f"{role}Cores"]), worker_gb(parameters[f"{role}Memory"])
        most = _MOST_GB[cores]
        if needed > most:
            given = f"{role}Memory {parameters[f'{role}Memory']}"
            yield error(
                CHECK,
                f"{given} needs a worker of {needed} GB with Spark's overhead, and one of {cores} vCPU has {most} GB at"
                f" most: give less memory, or more {role}Cores",
            )
    yield from _room(parameters)


def _room(parameters: Mapping[str, str]) -> Iterator[Finding]:
    """A job waits for ever for its first executor when the application may not have one beside the driver."""
    cpu = int(parameters["DriverCores"]) + int(parameters["ExecutorCores"])
    memory = worker_gb(parameters["DriverMemory"]) + worker_gb(parameters["ExecutorMemory"])
    for name, needed, unit in (("MaximumCpu", cpu, "vCPU"), ("MaximumMemory", memory, "GB")):
        if int(parameters[name].removesuffix(unit)) < needed:
            yield error(CHECK, f"{name} {parameters[name]} has no room for driver and executor: give {needed}{unit}")
