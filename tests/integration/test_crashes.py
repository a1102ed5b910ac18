"""A crash at any moment leaves each month complete under its manifest, old or new, and the next run mends the rest.

Each test prints: where it crashed, what was left, what the next run made of it.
"""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from pyspark.sql import SparkSession

from ingest_assets.aws.stack import StackOutputs
from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.tables import Table, tables_to_json
from tests.gates import closed_gate
from tests.integration import crashing
from tests.integration.conftest import Account
from tests.integration.crashing import MONTHS, Folders, Moment, State, ingest_into, shortened
from tests.integration.drivers import Driver, Launcher, gatekeeper, until
from tests.integration.whole import manifests

RECORDS = Table("crash_records", "crash.records", "at", "2024-01", slice_by="ctid", slices=2)
GATED = Table("crash_gated", "crash.gated", "at", "2024-01", slice_by="date", slices=1)
SMALL = Table("crash_small", "crash.records", "at", "2024-01")
"""The driver reads and writes it itself: `spark_scripts/lake/small_months.py`."""
RELATIONS = ((RECORDS, "crash.records"), (GATED, "crash.many"), (SMALL, "crash.records"))
Photograph = dict[Path, bytes | None]


@dataclass(frozen=True)
class Crash:
    """Two tables ingested by the execution `old`, whose source has changed since, `start` what it left.

    `moments` are photographs of a run that did not fail: what a driver killed then would have left. `calm` are the
    manifests of that run.
    """

    spark: SparkSession = field(repr=False)
    database: Database
    client: Any
    bucket: Path
    source: psycopg.Connection[Any]
    old: dict[str, State] = field(repr=False, default_factory=dict)
    new: dict[str, State] = field(repr=False, default_factory=dict)
    start: dict[str, Photograph] = field(repr=False, default_factory=dict)
    moments: dict[str, dict[str, Photograph]] = field(repr=False, default_factory=dict)
    calm: dict[str, dict[str, Manifest]] = field(repr=False, default_factory=dict)

    def folders(self, table: Table) -> Folders:
        return Folders(self.bucket, table)

    def run(self, execution: str, table: Table, moment: Moment = lambda _: None, **months: Any) -> None:
        lake = crashing.watched_lake(self.spark, self.client, self.bucket.name, moment)
        ingest_into(self.spark, self.database, lake, execution, table, **months)

    def photograph(self, table: Table) -> None:
        """Ingest the changed table, undisturbed, in an execution that is called as those that are killed."""
        moments = self.moments[table.name] = {}

        def moment(what: str) -> None:
            moments[what] = self.folders(table).photograph()

        self.run("killed", table, moment)
        self.calm[table.name] = crashing.comparable(manifests(self.bucket, table))

    def whole(self, table: Table) -> str:
        """Which months are new, once all are found whole."""
        return self.folders(table).assert_whole(self.old[table.name], self.new[table.name])

    def assert_repaired(self, table: Table) -> None:
        """All is as if no run had failed."""
        self.folders(table).assert_as_if_never_failed(self.calm[table.name], self.new[table.name])

    def told(self, where: str, table: Table) -> str:
        """A line that says what is left."""
        staged, unlisted = self.folders(table).left()
        return f"{where}: new are {self.whole(table)}; {staged} files in staging, {unlisted} that no manifest lists"


@pytest.fixture(scope="module")
def crash(
    spark: SparkSession, database: Database, session: boto3.session.Session, bucket: Path, account: Account
) -> Iterator[Crash]:
    shutil.rmtree(bucket / layout.STAGING, ignore_errors=True)  # whatever other tests have left there
    with psycopg.connect(account.source_dsn, autocommit=True) as source:
        crashing.fill(source)
        crash = Crash(spark, database, session.client("s3"), bucket, source)
        for table, relation in RELATIONS:
            crash.run("old", table)
            crash.old[table.name] = crashing.source_state(source, relation)
            crash.start[table.name] = crash.folders(table).photograph()
        crashing.change(source)
        for table, relation in RELATIONS:
            crash.new[table.name] = crashing.source_state(source, relation)
            crash.photograph(table)
        yield crash
        source.execute("DROP SCHEMA crash CASCADE")


def distinct(moments: dict[str, Photograph]) -> Iterator[tuple[str, Photograph]]:
    """The moments at which the lake is another than at the moment before."""
    last: Photograph = {}
    for what, photograph in moments.items():
        if photograph != last:
            yield what, photograph
        last = photograph


@pytest.mark.parametrize(
    ("table", "expected_writes", "least_states"),
    [(RECORDS, {"mkdirs", "rename", "put_object", "delete"}, 16), (SMALL, {"put_object", "delete"}, 15)],
    ids=["moved out of staging", "written by the driver"],
)
def test_a_driver_killed_between_any_two_writes_leaves_whole_months_and_the_next_run_repairs_the_rest(
    crash: Crash, table: Table, expected_writes: set[str], least_states: int
) -> None:
    folders = crash.folders(table)
    states = list(distinct(crash.moments[table.name]))
    left = []

    def still_whole(_: str) -> None:  # so also when the next run is killed
        crash.whole(table)

    for number, (where, photograph) in enumerate(states):
        folders.restore(photograph)
        told = crash.told(where, table)
        left.append(folders.left())
        next_run = ({}, {"months": MONTHS}, {"refresh": True})[number % 3]
        crash.run("again", table, still_whole, **next_run)
        crash.assert_repaired(table)
        print(f"{told}; after the next run ({', '.join(next_run) or 'full'}): all new, nothing else")
    writes = {what.split()[1] for what in crash.moments[table.name]}
    assert writes == expected_writes
    assert len(states) >= least_states
    moved = any(staged and unlisted for staged, unlisted in left)  # moved, not yet committed
    assert moved == ("rename" in expected_writes)
    assert any(not staged and unlisted for staged, unlisted in left)  # the old files, or a small month's new one


def shape(photograph: Photograph, bucket: Path) -> dict[str, bytes | None]:
    """What is the same in each run: names, folders too, and what is in the data files. Manifests tell the time.

    Which of the empty folders of Spark's committer are left depends on the task that ends first.
    """
    return {
        shortened(str(path.relative_to(bucket))): None if path.suffix == ".json" else content
        for path, content in photograph.items()
        if not (content is None and "_temporary" in path.parts)
    }


@contextmanager
def tables_of_the_account(bucket: Path) -> Iterator[None]:
    """The tables of this module are deployed, for the drivers that read the file."""
    file = bucket / layout.TABLES_KEY
    before = file.read_bytes()
    file.write_text(tables_to_json([RECORDS, GATED, SMALL]), encoding="utf-8")
    try:
        yield
    finally:
        file.write_bytes(before)


@pytest.fixture(scope="module")
def launcher(
    crash: Crash, account: Account, outputs: StackOutputs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launcher]:
    with tables_of_the_account(crash.bucket):
        yield Launcher(account, crash.bucket.name, outputs.database_secret_arn, tmp_path_factory.mktemp("drivers"))


def asked(table: Table) -> dict[str, Any]:
    """The input of an execution for all months of the table."""
    return {"table": table.name, "months": [str(month) for month in MONTHS]}


def waiting(source: psycopg.Connection[Any], execution: str) -> int:
    """How many readers of the execution wait at the gate."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'advisory'"
    [(found,)] = source.execute(query, [execution]).fetchall()
    return int(found)


def half_written(bucket: Path) -> list[Path]:
    """Files that Spark's tasks have begun, with rows in them."""
    temporary = (bucket / layout.STAGING).rglob("_temporary/**/*.txt")
    return [file for file in temporary if file.stat().st_size]


def refused_then_killed(crash: Crash, driver: Driver, where: str, table: Table) -> None:
    """Another execution is refused while the driver lives; its locks are gone when it is dead."""
    with pytest.raises(IngestionError, match=f"{table.name} is being written by execution killed"):
        crash.run("again", table)
    driver.kill()
    connected = (
        "SELECT FROM pg_stat_activity WHERE application_name = 'killed' AND wait_event IS DISTINCT FROM 'advisory'"
    )
    until(lambda: not crash.source.execute(connected).fetchall(), seconds=10)
    print(f"\nkilled -9 {crash.told(where, table)}")


@pytest.mark.parametrize(
    ("where", "after"),
    [("before put_object _manifests/executions/killed", False), ("after put_object _manifests/current", True)],
    ids=["between the moves and the manifest", "between the manifest and the deletes"],
)
def test_a_driver_that_is_really_killed_leaves_what_the_photograph_shows(
    crash: Crash, launcher: Launcher, where: str, after: bool
) -> None:
    folders = crash.folders(RECORDS)
    folders.restore(crash.start[RECORDS.name])
    moment = f"{where}/{RECORDS.name}/2024-01.json"
    with gatekeeper(launcher.account.environment["AWS_ENDPOINT_URL_S3"]) as s3:
        s3.stop_at(moment.rpartition(" ")[2], after=after)
        with launcher.started("killed", asked(RECORDS), s3.url) as driver:
            until(s3.reached.is_set, driver)
            refused_then_killed(crash, driver, moment, RECORDS)
    assert shape(folders.photograph(), crash.bucket) == shape(crash.moments[RECORDS.name][moment], crash.bucket)
    crash.run("again", RECORDS)
    crash.assert_repaired(RECORDS)


def test_a_driver_that_is_killed_while_spark_writes_leaves_the_old_months(crash: Crash, launcher: Launcher) -> None:
    folders = crash.folders(GATED)
    folders.restore(crash.start[GATED.name])
    with closed_gate(crash.source), launcher.started("killed", asked(GATED)) as driver:
        until(lambda: waiting(crash.source, "killed") == 2 and half_written(crash.bucket), driver)
        refused_then_killed(crash, driver, "while Spark writes", GATED)
    assert half_written(crash.bucket)
    assert set(folders.held().values()) == {"old"}
    crash.run("again", GATED)
    crash.assert_repaired(GATED)


LOST = {
    "reader": ("wait_event = 'advisory'", r"2024-01 to 2024-03: .*terminating connection due to administrator command"),
    "snapshot": ("state = 'idle in transaction' AND NOT locks", r"terminating connection due to administrator command"),
    "locks": ("state = 'idle in transaction' AND locks", r"This connection has been closed|terminating connection"),
}
"""What tells the connection from the execution's others, and what its loss is told by."""


def terminate(crash: Crash, execution: str, which: str) -> None:
    """End the execution's connections that meet the condition `which`."""
    query = f"""
        WITH connections AS (
            SELECT pid, state, wait_event, pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory') AS locks
            FROM pg_stat_activity WHERE application_name = '{execution}'
        ) SELECT pg_terminate_backend(pid) FROM connections WHERE {which}
        """
    assert crash.source.execute(query.encode()).fetchall()


def test_a_killed_executor_and_lost_readers_are_replaced_and_no_row_is_doubled(
    crash: Crash, launcher: Launcher
) -> None:
    folders = crash.folders(GATED)
    folders.restore(crash.start[GATED.name])
    with launcher.started("replaced", asked(GATED), master="local-cluster[2,1,1024]") as driver:
        with closed_gate(crash.source):
            until(lambda: waiting(crash.source, "replaced") == 2 and half_written(crash.bucket), driver)
            victim, *others = driver.processes("CoarseGrainedExecutorBackend")
            assert others
            victim.kill()
            until(lambda: "ExecutorLostFailure" in driver.told(), driver)
            terminate(crash, "replaced", LOST["reader"][0])
            until(lambda: "terminating connection due to administrator command" in driver.told(), driver)
        assert driver.wait() == 0, driver.told()[-3000:]
    print(f"\nkilled -9 {crash.told('an executor, then ended the connections of all readers', GATED)}")
    crash.assert_repaired(GATED)


@pytest.mark.parametrize("connection", LOST)
def test_a_connection_that_is_lost_while_the_job_reads_fails_the_table_and_leaves_the_old_months(
    crash: Crash, connection: str
) -> None:
    which, message = LOST[connection]
    folders = crash.folders(GATED)
    folders.restore(crash.start[GATED.name])

    def broken() -> None:
        with closed_gate(crash.source):
            gate_closed.set()
            until(lambda: waiting(crash.source, "lost") == 2 and half_written(crash.bucket))
            terminate(crash, "lost", which)

    gate_closed = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        breaking = pool.submit(broken)
        gate_closed.wait()
        with pytest.raises(IngestionError, match=f"1 of 1 table failed: {GATED.name}.*{message}"):
            crash.run("lost", GATED)
        breaking.result()
    print(f"\nlost connection of the {crash.told(connection, GATED)}")
    assert (folders.left(), set(folders.held().values())) == ((0, 0), {"old"})
    crash.run("again", GATED)
    crash.assert_repaired(GATED)


@contextmanager
def small_disk(spark: SparkSession, limit: int) -> Iterator[None]:
    """No file of the driver's JVM grows beyond `limit` bytes."""
    jvm: Any = spark._jvm
    pid = jvm.java.lang.ProcessHandle.current().pid()
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux: limits of another process")
def test_a_full_disk_is_named_and_nothing_half_written_is_published(crash: Crash) -> None:
    folders = crash.folders(GATED)
    folders.restore(crash.start[GATED.name])
    with small_disk(crash.spark, 150_000), pytest.raises(IngestionError, match=f"{GATED.name} .*File too large"):
        crash.run("full-disk", GATED)
    print(f"\n{crash.told('full disk', GATED)}")
    assert (folders.left(), set(folders.held().values())) == ((0, 0), {"old"})
    crash.run("again", GATED)
    crash.assert_repaired(GATED)
