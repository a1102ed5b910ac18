"""Job runs by the real spark-submit. Few, since each takes seconds to start; the rest is tested without Spark."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aws_setup.local.emulator.spark.submit import SparkSubmit
from tests.integration.local_aws.conftest import ROLE, Aws, start, until

JOB = """
import json, os, sys
from words import GREETING
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
assert spark.conf.get("spark.sql.shuffle.partitions") == "3" and spark.conf.get("spark.eventLog.dir") == "x"
assert spark.sparkContext.master == "local[*]"
rows = spark.createDataFrame([(1, "a,b", 1), (2, None, 2)], "id int, text string, month int")
rows.coalesce(1).write.partitionBy("month").option("header", True).csv("s3://data/staging/out")
jvm = spark._jvm
Path = jvm.org.apache.hadoop.fs.Path
root = Path("s3://data/staging")
fs = root.getFileSystem(spark._jsc.hadoopConfiguration())
part = [s.getPath() for s in fs.listStatus(Path("s3://data/staging/out/month=1"))][0]
fs.mkdirs(Path("s3://data/raw/month=1"))
assert str(part.toString()).startswith("s3://data/staging/out/month=1/part-"), part.toString()
assert fs.rename(part, Path("s3://data/raw/month=1/one.csv"))
manifest = Path("s3://other.bucket/manifest.json")
out = manifest.getFileSystem(spark._jsc.hadoopConfiguration()).create(manifest)
out.write(bytearray(b"{}")); out.close()
assert fs.delete(root, True) and not fs.exists(root)
print(GREETING, os.environ["FROM_CONF"], os.environ["FROM_RUNNER"], sys.argv[1], spark.read.csv("s3://data/raw").count())
print("HOSTNAME" in os.environ, "PYTEST_CURRENT_TEST" in os.environ)
spark.stop()
"""


@pytest.fixture(scope="module")
def spark_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    folder = tmp_path_factory.mktemp("spark")
    (folder / "lake" / "other.bucket").mkdir(parents=True)
    yield from start(SparkWithVariable, folder)


class SparkWithVariable(SparkSubmit):
    """As SparkSubmit, with one more variable from the runner."""

    def driver_environment(self, job: Any) -> dict[str, str]:
        return super().driver_environment(job) | {"FROM_RUNNER": "runner"}


def run(aws: Aws, **spark_submit: Any) -> tuple[dict[str, Any], str, str]:
    """The job run once it has ended, its stdout and its stderr."""
    client = aws.client("emr-serverless")
    application = client.create_application(releaseLabel="emr-7.14.0", type="SPARK")["applicationId"]
    configuration = [{"classification": "spark-defaults", "properties": {"spark.eventLog.dir": "x"}}]
    overrides = {
        "applicationConfiguration": configuration,
        "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://data/logs"}},
    }
    started = client.start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        jobDriver={"sparkSubmit": spark_submit},
        configurationOverrides=overrides,
        executionTimeoutMinutes=720,
    )
    keys = {"applicationId": application, "jobRunId": started["jobRunId"]}
    until(lambda: client.get_job_run(**keys)["jobRun"]["state"] in ("SUCCESS", "FAILED"), wanted=True, seconds=120)
    logs = aws.lake / "data" / "logs" / "applications" / application / "jobs" / started["jobRunId"] / "SPARK_DRIVER"
    stdout, stderr = (gzip.decompress((logs / f"{name}.gz").read_bytes()).decode() for name in ("stdout", "stderr"))
    return client.get_job_run(**keys)["jobRun"], stdout, stderr


def test_a_job_reads_and_writes_s3_paths_as_on_emr(spark_aws: Aws) -> None:
    entry_point = spark_aws.script("job.py", JOB)
    with zipfile.ZipFile(spark_aws.lake / "code" / "library.zip", "w") as library:
        library.writestr("words.py", "GREETING = 'hello'")
    parameters = "--py-files s3://code/library.zip --conf spark.sql.shuffle.partitions=3 --conf spark.driver.memory=1g "
    parameters += "--conf spark.emr-serverless.driverEnv.FROM_CONF=conf"

    job_run, stdout, stderr = run(
        spark_aws, entryPoint=entry_point, entryPointArguments=["one two"], sparkSubmitParameters=parameters
    )

    lake = spark_aws.lake
    assert job_run["state"] == "SUCCESS", stdout + stderr
    assert stdout.splitlines() == ["hello conf runner one two 2", "False False"]
    assert "Running Spark version 3.5" in stderr
    assert (lake / "data" / "raw" / "month=1" / "one.csv").read_text() == 'id,text\n1,"a,b"\n'
    assert (lake / "other.bucket" / "manifest.json").read_text() == "{}"
    assert not list(lake.rglob("*.crc"))
    assert sorted(path.name for path in (lake / "data").iterdir()) == ["logs", "raw"]


def test_an_entry_point_that_is_not_there_fails_the_job(spark_aws: Aws) -> None:
    job_run, _, _ = run(spark_aws, entryPoint="s3://code/nothing.py")

    assert job_run["state"] == "FAILED"
    assert job_run["stateDetails"].endswith("code/nothing.py does not exist")


def test_the_error_of_a_job_is_in_its_state_details(spark_aws: Aws, tmp_path: Path) -> None:
    entry_point = spark_aws.script("fails.py", "import sys; sys.exit('JobError: the table is broken')")

    job_run, _, _ = run(spark_aws, entryPoint=entry_point)

    assert job_run["stateDetails"].endswith("ExitCode: 1. Last few exceptions: JobError: the table is broken")
