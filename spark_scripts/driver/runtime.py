"""What the job runs on: its standard output, and the versions, which AWS does not fully document for EMR."""

from __future__ import annotations

import io
import platform
import sys
from typing import TYPE_CHECKING, Any

import boto3

from spark_scripts.contract.wording import RUNTIME_PREFIX
from spark_scripts.driver.jvm import JAVA_ERRORS, java_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def print_whole_lines() -> None:
    """Let the lines that threads print stay whole: unbuffered, `print` writes a text and the end of its line apart."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(write_through=False)


def describe(spark: SparkSession) -> str:
    """The versions of Python, boto3, Spark and Hadoop, and the class behind `s3://`, as the first line of the log."""
    jvm: Any = spark._jvm
    hadoop = jvm.org.apache.hadoop.util.VersionInfo.getVersion()
    return (
        f"{RUNTIME_PREFIX}Python {platform.python_version()}, boto3 {boto3.__version__}, Spark {spark.version},"
        f" Hadoop {hadoop}, s3:// by {_file_system(spark)}"
    )


def _file_system(spark: SparkSession) -> str:
    jvm: Any = spark._jvm
    try:
        configuration = spark._jsc.hadoopConfiguration()
        return str(jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass("s3", configuration).getName())
    except JAVA_ERRORS as error:  # no class is configured, or the class is missing
        return f"nothing ({java_text(error)})"
