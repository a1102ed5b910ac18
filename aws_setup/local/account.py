"""The AWS account on localhost: database, S3, AWS's services, the deployed stack and its secret."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import boto3

from aws_setup.commands import deploy, secret
from aws_setup.job_bundle import jdbc
from aws_setup.job_bundle.java import java_home
from aws_setup.local import environment
from aws_setup.local.console_pages import Console
from aws_setup.local.home import BUCKET, Home
from aws_setup.local.sample_tables import load_sample
from aws_setup.local.services.postgres import DATABASE, OWNER, READER, Postgres, check_port
from aws_setup.local.services.s3 import S3
from aws_setup.local.tables_watch import TablesWatch
from aws_setup.source_database import SourceDatabase, open_source
from ingest_assets import environment as names
from ingest_assets.aws.stack import stack_name
from ingest_assets.tables import tables_path
from spark_scripts.contract.privacy import PEPPER_FIELD

if TYPE_CHECKING:
    from aws_setup.local.emulator.server import LocalAws
    from aws_setup.local.emulator.spark.submit import SparkSubmit

_Part = TypeVar("_Part")

# No schedule fires here. One JVM does the work of driver and executors and shares the machine with everything else.
_PARAMETERS = {"BucketName": BUCKET, "ScheduleState": "DISABLED", "DriverMemory": "2g"}


# The objects of the bucket survive a restart, jobs use the network of this machine, and moto lists other releases.
_IGNORED: tuple[str, ...] = ("bucket", "network", "release")


class LocalAccount(contextlib.AbstractContextManager["LocalAccount"]):
    """A running account over the folder `home`. A folder has one account at a time, and so has a process.

    While it runs, its variables (`environment`) are set in this process, so that boto3 finds it. Database, lake and
    Dagster's home survive in `home`; executions, queues and applications end with the account. `source_dsn` replaces
    the database with the sample tables, `tables` replaces the environment's tables.yaml, `parameters` are further
    parameters of the template. The sample tables have rows to the day `today`. `report` gets a line per step.
    With `s3a` the lake is moto's S3, whose objects end with the account, and Spark reaches it by Hadoop's S3A.
    """

    environment: dict[str, str]
    removed: list[str]
    """The variables of this process that the account removes, such as AWS_PROFILE."""
    source_dsn: str
    lake: Path
    """The folder with one folder per bucket; with `s3a` it holds copies of a few objects only."""

    def __init__(
        self,
        home: Path,
        *,
        source_dsn: str | None = None,
        tables: Path | None = None,
        stack: str | None = None,
        postgres_port: int | None = None,
        parameters: Mapping[str, str] = MappingProxyType({}),
        s3a: bool = False,
        today: date | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        self._home = Home(home)
        self._parameters = {**_PARAMETERS, **parameters}
        self._given_dsn = source_dsn
        self._today = today or date.today()
        self._tables = tables or (Path(named) if (named := names.read(names.TABLES)) else None)
        self._stack_name = stack or stack_name()
        self._postgres_port = postgres_port
        self._report = report
        self._access_key, self._secret_key = _new_keys("LOCAL")
        self._job_keys, self._task_keys = _new_keys("ASIA"), _new_keys("ASIA")  # the prefix of AWS's temporary keys
        self._running = contextlib.ExitStack()
        self._ignored = _IGNORED
        self._s3a = s3a
        self.lake = self._home.copies if s3a else self._home.lake

    def __enter__(self) -> Self:
        """Start everything. Raises DataLakeErrors that name the part; then nothing is left running."""
        started = time.monotonic()
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(self._home.locked())
            self._home.prepare()
            self._start(stack, lock)
            self._running = stack.pop_all()
        self._report(f"the local AWS account is ready ({time.monotonic() - started:.1f} s)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, stack: contextlib.ExitStack, lock: int) -> None:
        """Start independent parts at the same time. After a failure the parts that have started are stopped."""
        own = environment.aws_variables(self._access_key, self._secret_key)
        self.removed = environment.foreign(own)
        stack.enter_context(environment.applied(own))
        self._check_arguments()
        parts = stack.enter_context(contextlib.ExitStack())  # stopped last, because jobs and requests use them
        with ThreadPoolExecutor(3, "start") as pool:
            source = pool.submit(self._step, self._start_source, parts, lock)
            s3 = None if self._s3a else pool.submit(self._step, self._start_s3, parts)
            console = parts.enter_context(Console(self.lake, self._home.console))
            driver_jar = pool.submit(self._step, self._find_driver)
            aws = self._step(self._start_aws, stack)
            endpoints = {"AWS_ENDPOINT_URL": aws.url, "AWS_ENDPOINT_URL_S3": s3.result().url if s3 else aws.url}
            stack.enter_context(environment.applied({**own, **endpoints}))
            database_secret = self._step(self._deploy, driver_jar.result())
            fields = {**source.result().fields, PEPPER_FIELD: self._home.pepper()}
            secret.put_database_secret(
                boto3.session.Session(), database_secret, fields, secret.endpoint(self._parameters)
            )
        self.source_dsn = source.result().dsn
        self.environment = {**own, **endpoints, **self._project_variables(), names.CONSOLE_URL: console.url}
        stack.enter_context(environment.applied(self.environment))
        tables = self._tables or tables_path()
        stack.enter_context(TablesWatch(tables, boto3.session.Session().client("s3"), BUCKET, self._report))
        stack.enter_context(self._home.published(self.environment))

    def _check_arguments(self) -> None:
        """Raise errors in the arguments before the slow parts start."""
        if self._given_dsn is not None:
            open_source(self._given_dsn)
        elif self._postgres_port is not None:
            check_port(self._postgres_port)
        if self._s3a:
            self._step(self._find_s3a)

    def _step(self, start: Callable[..., tuple[_Part, str]], *arguments: object) -> _Part:
        begun = time.monotonic()
        part, description = start(*arguments)
        self._report(f"{description} ({time.monotonic() - begun:.1f} s)")
        return part

    def _start_source(self, parts: contextlib.ExitStack, lock: int) -> tuple[SourceDatabase, str]:
        if self._given_dsn is not None:
            source = open_source(self._given_dsn)
            return source, f"source: {source.description}"
        log = self._home.logs / "postgres.log"
        server = Postgres(self._home.postgres, log, port=self._postgres_port, hold=[lock])
        postgres = parts.enter_context(server)
        fresh = load_sample(postgres.dsn(OWNER), self._today)
        fields = {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(postgres.port),
            "POSTGRES_USER": READER,
            "POSTGRES_PASSWORD": postgres.password(READER),
            "POSTGRES_DB": DATABASE,
            "POSTGRES_SSLMODE": "disable",  # the server is on the loopback address and has no certificate
        }
        what = "with new sample tables" if fresh else f"over {self._home.postgres}"
        source = SourceDatabase(postgres.dsn(OWNER), fields, f"PostgreSQL on 127.0.0.1:{postgres.port} {what}")
        return source, source.description

    def _start_s3(self, parts: contextlib.ExitStack) -> tuple[S3, str]:
        keys = dict([(self._access_key, self._secret_key), self._job_keys, self._task_keys])
        server = S3(self.lake, self._home.logs / "s3.log", keys=keys)
        s3 = parts.enter_context(server)
        return s3, f"S3 on {s3.url} over {self.lake}"

    def _find_s3a(self) -> tuple[Path, str]:
        from aws_setup.local import s3a  # noqa: PLC0415 (it imports pyspark)

        jars = s3a.jars()
        return jars, f"Hadoop's S3A {s3a.HADOOP}: {jars}"

    def _find_driver(self) -> tuple[Path, str]:
        jar = jdbc.driver_jar()
        version = jdbc.driver_version(jar)
        if version < jdbc.OLDEST_SAFE:  # safe enough for a database on this machine
            self._ignored = (*self._ignored, "driver")
        return jar, f"JDBC driver {'.'.join(map(str, version))}: {jar}"

    def _start_aws(self, stack: contextlib.ExitStack) -> tuple[LocalAws, str]:
        # Importing moto takes seconds, in which PostgreSQL creates its data folder.
        from aws_setup.local.class_archive import java_options  # noqa: PLC0415
        from aws_setup.local.emulator.core.roles import Keys, assume  # noqa: PLC0415
        from aws_setup.local.emulator.server import LocalAws  # noqa: PLC0415

        keys = Keys(*self._job_keys)
        spark = self._spark()(
            lake=self.lake,
            java_home=java_home(),
            environment=lambda: self.environment,
            work=self._home.work,
            credentials=lambda job: assume(job.execution_role, job.job_run_id, environment.REGION, keys),
            java_options=java_options(),
        )
        aws = stack.enter_context(LocalAws(spark, s3_keys=None if self._s3a else Keys(*self._task_keys)))
        return aws, f"AWS on {aws.url}"

    def _spark(self) -> Callable[..., SparkSubmit]:
        """What makes the runner of the jobs."""
        from aws_setup.local import s3a  # noqa: PLC0415 (as above)
        from aws_setup.local.emulator.spark.object_store import SparkOverS3a  # noqa: PLC0415
        from aws_setup.local.emulator.spark.submit import SparkSubmit  # noqa: PLC0415

        if not self._s3a:
            return SparkSubmit
        return partial(SparkOverS3a, spark_home=s3a.spark_home(self._home.work / "spark", s3a.jars()))

    def _deploy(self, driver_jar: Path) -> tuple[str, str]:
        request = deploy.DeployRequest(
            self._stack_name, self._parameters, driver_jar, tables=self._tables, ignore=self._ignored
        )
        outputs = deploy.deploy(boto3.session.Session(), request, lambda _: None)
        return outputs.database_secret_arn, f"stack {self._stack_name} with bucket {outputs.bucket_name}"

    def _project_variables(self) -> dict[str, str]:
        variables = {
            names.STACK: self._stack_name,
            names.IGNORE_CHECKS: ",".join(self._ignored),
            names.SOURCE_DSN: self.source_dsn,
            **({} if self._s3a else {"LAKE_DIR": str(self.lake)}),
            "DAGSTER_HOME": str(self._home.dagster),
            names.JAVA_HOME: str(java_home()),
        }
        if self._tables is not None:
            variables[names.TABLES] = str(self._tables.absolute())
        return variables


def _new_keys(prefix: str) -> tuple[str, str]:
    """An access key and its secret."""
    return f"{prefix}{secrets.token_hex(8).upper()}", secrets.token_hex(20)
