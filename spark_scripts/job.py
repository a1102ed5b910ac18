"""The job from its argument to its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

import boto3
from botocore.config import Config
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.arguments import JobArguments
from spark_scripts.contract.errors import DataLakeError, InvalidInputError
from spark_scripts.contract.request import resolve
from spark_scripts.contract.tables import tables_from_json
from spark_scripts.driver import runtime
from spark_scripts.glue.catalog import Catalog
from spark_scripts.ingest import ingest
from spark_scripts.lake import spark_io
from spark_scripts.lake.bucket import AT_ONCE, Lake, read_text
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres import certificates
from spark_scripts.postgres.source import Source
from spark_scripts.secret import read_database, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AWS_KEYS = {"AWS_ACCESS_KEY_ID": "fs.s3a.access.key", "AWS_SECRET_ACCESS_KEY": "fs.s3a.secret.key"}
"""The fields of the AWSKEYS secret, with Hadoop's names. The secret may also have AWS_REGION, the bucket's region."""


def main(arguments: list[str]) -> int:
    """Run the job; 0 when all was ingested, else 1, with the reason as the last line of standard error."""
    runtime.print_whole_lines()
    try:
        run(JobArguments.parse(arguments))
    except DataLakeError as error:
        if error.__cause__ is not None:
            traceback.print_exception(type(error.__cause__), error.__cause__, error.__cause__.__traceback__)
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def run(arguments: JobArguments) -> None:
    """Ingest what `arguments` ask for. Raises IngestionError naming each table that failed."""
    session = boto3.session.Session(region_name=_region(arguments.database_secret))
    secrets = session.client("secretsmanager")
    keys = _aws_keys(read_secret(secrets, arguments.aws_keys_secret)) if arguments.aws_keys_secret else {}
    s3 = session.client(
        "s3",
        region_name=keys.get("AWS_REGION") or session.region_name,
        aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY"),
        config=Config(max_pool_connections=AT_ONCE),
    )
    glue_database = arguments.glue_database
    catalog = Catalog(session, glue_database, arguments.bucket) if glue_database else None
    tables = tables_from_json(read_text(s3, arguments.bucket, layout.TABLES_KEY))
    requests = resolve(arguments.input, tables, datetime.now(timezone.utc))
    read_again = partial(read_database, secrets, arguments.database_secret, arguments.endpoint)
    database = read_again()
    lock_keys = [lock_key(arguments.bucket, request.table.name) for request in requests]
    with (
        spark_session(arguments.execution, keys) as spark,
        certificates.shared(spark, database.sslrootcert),
        Locks.taken(spark, database, arguments.execution, lock_keys) as locks,
        Source.connect(spark, database, arguments.execution, read_again) as source,  # after the locks: see advisory.py
    ):
        ingest(spark, source, locks, Lake(spark, s3, arguments.bucket), requests, catalog)


def _region(secret_id: str) -> Optional[str]:
    """The region of the secret's ARN; boto3 itself reads AWS_DEFAULT_REGION only, and EMR sets AWS_REGION."""
    parts = secret_id.split(":")
    return parts[3] if len(parts) > 3 else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _aws_keys(fields: Mapping[str, Any]) -> dict[str, str]:
    missing = [name for name in _AWS_KEYS if not fields.get(name)]
    if missing:
        raise InvalidInputError(f"the secret with the AWS keys has no {', '.join(missing)}: set it, or use the role")
    return {name: str(fields[name]) for name in (*_AWS_KEYS, "AWS_REGION") if fields.get(name)}


@contextmanager
def spark_session(execution: str, aws_keys: Mapping[str, str]) -> Iterator[SparkSession]:
    """A session for the execution, stopped in any case. The keys, if any, stay out of Spark's configuration."""
    builder: Any = SparkSession.builder
    spark: SparkSession = builder.appName(f"ingest {execution}").config(map=spark_io.SESSION).getOrCreate()
    try:
        print(runtime.describe(spark), flush=True)
        hadoop = spark._jsc.hadoopConfiguration()
        for name in _AWS_KEYS.keys() & aws_keys.keys():
            hadoop.set(_AWS_KEYS[name], aws_keys[name])
        yield spark
    finally:
        spark.stop()
