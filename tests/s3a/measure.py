"""How many requests to S3 an ingestion makes, and what they cost: `python -m tests.s3a.measure 60 240`.

For each number of months: a full ingest of a table with so many, a second one, and one month of it again, by Spark and
by the driver itself, as small tables are read.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import boto3
import psycopg
from pyspark.sql import SparkSession

from aws_setup.local import s3a
from aws_setup.local.emulator.spark import object_store
from aws_setup.local.home import BUCKET
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from spark_scripts.lake.bucket import Lake
from tests.integration.conftest import Account, running_account, spark_session
from tests.integration.crashing import ingest_into
from tests.integration.servers import database_of
from tests.integration.whole import execute
from tests.s3a import counting
from tests.s3a.conftest import COUNTING_ACCOUNT, own_jvm

ROWS = 10_000
"""As many as the driver reads itself."""


def main(numbers: list[int]) -> None:
    """Print a line for each ingestion."""
    jars = s3a.jars()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[counting.FILE] = str(folder / "requests")
        with (
            running_account(folder, COUNTING_ACCOUNT) as account,
            own_jvm(s3a.spark_home(folder / "spark", jars)),
            spark_session(object_store.properties(account.environment["AWS_ENDPOINT_URL_S3"]), folder) as spark,
        ):
            for number in numbers:
                measure(number, account, spark, counting.Requests(folder / "requests"))


def measure(number: int, account: Account, spark: SparkSession, requests: counting.Requests) -> None:
    """Ingest a table of so many months."""
    create(account.source_dsn, number)
    lake = Lake(spark, boto3.session.Session().client("s3"), BUCKET)
    small = Table(f"small{number}", f"public.months{number}", "at", "2000-01")
    tables = {"Spark": replace(small, name=f"months{number}", slices=1), "the driver": small}
    month = Month(2000, 2)
    for who, table in tables.items():
        for what, months in (("full", None), ("full again", None), (f"{month}", [month])):
            begun = time.monotonic()
            with requests.counted() as count, contextlib.redirect_stdout(io.StringIO()):
                ingest_into(spark, database_of(account.source_dsn), lake, what.replace(" ", "-"), table, months)
            print(f"{number} months by {who}, {what}: {count}, {time.monotonic() - begun:.1f} s", flush=True)


def create(dsn: str, number: int) -> None:
    """A table with so many months of rows."""
    with psycopg.connect(dsn, autocommit=True) as source:
        execute(
            source,
            f"CREATE TABLE public.months{number} AS SELECT n AS id, 'x' || n AS note,"
            f" '2000-01-15'::date + (n % {number} || ' months')::interval AS at FROM generate_series(1, {ROWS}) n",
        )


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]] or [60])
