"""Usage figures from worker sizes."""

from __future__ import annotations

import pytest

from aws_setup.local.emulator.emrserverless.usage import Workers, utilization, workers


def test_a_job_that_pins_nothing_takes_sixteen_vcpus() -> None:
    assert workers({}) == Workers(count=4, cpus=16.0, memory_gb=64.0, disk_gb=80.0)


def test_sizes_are_those_of_the_job() -> None:
    conf = {
        "spark.driver.cores": "2",
        "spark.driver.memory": "4096",
        "spark.executor.cores": "1",
        "spark.executor.memory": "1536m",
        "spark.executor.memoryOverhead": "1g",
        "spark.executor.instances": "5",
        "spark.dynamicAllocation.maxExecutors": "2",
    }

    # 4 GB and 10 % are a driver of 5 GB; 1.5 GB and 1 GB an executor of 3 GB.
    assert workers(conf) == Workers(count=3, cpus=4.0, memory_gb=11.0, disk_gb=60.0)


def test_a_minute_is_the_least_that_is_billed() -> None:
    total, billed = utilization(Workers(count=2, cpus=4.0, memory_gb=16.0, disk_gb=40.0), 30)

    assert total == {"vCPUHour": 0.033, "memoryGBHour": 0.133, "storageGBHour": 0.333}
    assert billed == {"vCPUHour": 0.067, "memoryGBHour": 0.267, "storageGBHour": 0.0}


def test_a_job_that_never_ran_costs_nothing() -> None:
    assert utilization(Workers(2, 4.0, 16.0, 40.0), 0)[1] == dict.fromkeys(
        ("vCPUHour", "memoryGBHour", "storageGBHour"), 0.0
    )


def test_a_wrong_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a memory size: 'large'"):
        workers({"spark.driver.memory": "large"})
