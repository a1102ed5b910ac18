"""Many small tables in one execution, on a near S3 and on a far one: `python -m tests.bench.many_tables`.

The near S3 is the local account's own: files, and few requests. The far one is an object store (`local --s3a`) behind
`slow_s3`, which Spark reaches by Hadoop's S3A and the job's own client by boto3: each request takes 30 ms longer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import psycopg

from aws_setup.job_bundle import jdbc
from aws_setup.job_bundle.java import java_home
from aws_setup.local import s3a
from aws_setup.local.account import LocalAccount
from aws_setup.local.class_archive import java_options
from aws_setup.local.emulator.emrserverless.job_run import SparkJob
from aws_setup.local.emulator.spark.logs import last_exceptions
from aws_setup.local.emulator.spark.object_store import properties
from aws_setup.local.emulator.spark.submit import SparkSubmit
from aws_setup.local.home import BUCKET
from ingest_assets.aws.stack import StackOutputs, stack_name
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.tables import Table, tables_to_json
from tests.bench import measure
from tests.bench.contestants import new_folder
from tests.bench.measure import Command
from tests.bench.slow_s3 import slow_s3

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".local" / "bench" / "many"

TABLES = 60
MONTHS_OF_A_TABLE = 3
ROWS_OF_A_TABLE = 3_000
DELAY = 0.03
"""Seconds that each request to the far S3 takes longer."""


@dataclass(frozen=True)
class ManyTables:
    """One run: `seconds` per table, of the whole process and from the first table's read to the last commit.

    `requests` are those to the far S3, by method; empty for the near one, whose files need none.
    """

    seconds: float
    seconds_of_the_work: float
    cpu: float
    requests: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for people."""
        each = ", ".join(f"{method} {number / TABLES:.1f}" for method, number in Counter(self.requests).most_common())
        requests = f"; requests per table: {each}" if each else ""
        return (
            f"{self.seconds:.3f} s per table ({self.seconds_of_the_work:.3f} without the start),"
            f" {self.cpu:.1f} CPU s in all{requests}"
        )


def measure_many_tables(home: Path, *, far: bool, code: Path = ROOT) -> ManyTables:
    """Ingest all tables, every month, in one execution of an account of its own, which keeps its tables in `home`.

    No other account may run in this process. The far S3 needs S3A's jars. `code` is the checkout whose job is run.
    Raises RuntimeError when the job fails, or a table has not arrived whole.
    """
    with (
        LocalAccount(home / ("far" if far else "near"), s3a=far, report=lambda _: None) as account,
        tempfile.TemporaryDirectory() as scratch,
    ):
        bucket = boto3.session.Session().resource("s3").Bucket(BUCKET)
        bucket.put_object(Key=layout.TABLES_KEY, Body=tables_to_json(_created(account.source_dsn)).encode())
        folder = new_folder(Path(scratch))
        if not far:
            return _run(bucket, folder, SparkSubmit(**_common(account, folder)), code)
        spark = s3a.spark_home(folder / "spark", s3a.jars())
        with slow_s3(account.environment["AWS_ENDPOINT_URL_S3"], DELAY) as slow:
            common = _common(account, folder, AWS_ENDPOINT_URL_S3=slow.url)
            return _run(bucket, folder, _OverSlowS3(**common, spark_home=spark), code, slow.requests)


def _common(account: LocalAccount, folder: Path, **environment: str) -> dict[str, Any]:
    return {
        "lake": account.lake,
        "java_home": java_home(),
        "environment": {**account.environment, **environment},
        "work": folder.parent,
        "java_options": java_options(),
    }


class _OverSlowS3(SparkSubmit):
    """Jobs whose `s3://` is the S3 that their environment leads to."""

    def _s3_properties(self) -> dict[str, str]:
        assert not callable(self.environment)
        return properties(self.environment["AWS_ENDPOINT_URL_S3"])


def _run(
    bucket: Any, folder: Path, submit: SparkSubmit, code: Path, requests: Mapping[str, int] | None = None
) -> ManyTables:
    secret = StackOutputs.read(boto3.session.Session().client("cloudformation"), stack_name()).database_secret_arn
    argument = {"input": {}, "execution": folder.name, "bucket": BUCKET, "database_secret": secret}
    parameters = f"--jars {jdbc.driver_jar()} --conf spark.driver.memory=1g"
    main = str(code / "spark_scripts" / "main.py")
    job = SparkJob("bench", folder.name, folder.name, main, (json.dumps(argument),), parameters)
    (folder / "tmp").mkdir()
    environment = {**submit.driver_environment(job), "PYTHONPATH": str(code)}
    usage = measure.run(Command(submit.command(job), environment, folder))
    if usage.code:
        raise RuntimeError(f"the job failed with {usage.code}: {last_exceptions(folder / 'out', folder / 'err')}")
    begun, ended = _span(bucket, folder.name)
    return ManyTables(usage.seconds / TABLES, (ended - begun) / TABLES, usage.cpu, dict(requests or {}))


def _span(bucket: Any, execution: str) -> tuple[float, float]:
    """When the first month was begun and the last one committed, once all rows are found."""
    keys = bucket.objects.filter(Prefix=layout.execution_manifests_prefix(execution))
    dated = [each for each in keys if each.key.rpartition("/")[2].startswith("2")]
    found = [Manifest.from_json(each.get()["Body"].read().decode()) for each in dated]
    rows = sum(each.rows for each in found)
    if (len(found), rows) != (TABLES * MONTHS_OF_A_TABLE, TABLES * ROWS_OF_A_TABLE):
        raise RuntimeError(f"{len(found)} months with {rows} rows have arrived")
    return min(_instant(each.started) for each in found), max(_instant(each.finished) for each in found)


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _created(dsn: str) -> list[Table]:
    """The tables, which are made where they are missing."""
    tables = [Table(f"many_{number:02}", f"many.t{number:02}", "at", "2024-01") for number in range(1, TABLES + 1)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS many")
        for table in tables:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table.table} AS SELECT n AS id, 'note ' || n AS note,"
                f" '2024-01-15'::timestamp + n % {MONTHS_OF_A_TABLE} * interval '1 month' AS at"
                f" FROM generate_series(1, {ROWS_OF_A_TABLE}) n".encode()
            )
        connection.execute("GRANT USAGE ON SCHEMA many TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA many TO PUBLIC")
    return tables


def main() -> None:
    """Measure this checkout, and others in turn with it; print each run and the medians."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.many_tables", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help="where the tables and what is written are kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--code", type=Path, action="append", default=[], help="another checkout to compare with")
    parser.add_argument("--only", choices=("near", "far"), help="one of the two S3 alone")
    options = parser.parse_args()
    results: dict[tuple[str, str], list[ManyTables]] = {}
    for _ in range(options.rounds):
        for where in ("near", "far"):
            for code in (ROOT, *options.code):
                if options.only in (None, where):
                    run = measure_many_tables(options.home, far=where == "far", code=code)
                    results.setdefault((where, code.name), []).append(run)
                    print(f"{where} S3, {code.name}: {run}", flush=True)
    for (where, name), runs in results.items():
        seconds = statistics.median(run.seconds for run in runs)
        work_seconds = statistics.median(run.seconds_of_the_work for run in runs)
        print(f"{where} S3, {name}: median {seconds:.3f} s per table, {work_seconds:.3f} without the start")


if __name__ == "__main__":
    main()
