"""A driver killed at any point of the publish step leaves each month whole on S3A too, and the next run mends the rest.

As in tests/integration/test_crashes.py, but each photograph is of the bucket's objects, directory markers among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from tests.integration import crashing
from tests.integration.conftest import Account
from tests.integration.crashing import MONTHS, Folders, Moment, State, ingest_into
from tests.integration.whole import manifests
from tests.s3a import mirror
from tests.s3a.conftest import Bucket

RECORDS = Table("crash_records", "crash.records", "at", "2024-01", slice_by="ctid", slices=2)
Photograph = Mapping[str, bytes]


@dataclass(frozen=True)
class Crash:
    """RECORDS, ingested by the execution `old`; its source has changed since."""

    spark: SparkSession
    database: Database
    bucket: Bucket
    old: State
    new: State
    start: Photograph
    known: mirror.Known = field(default_factory=dict)

    def prefixes(self) -> Iterator[str]:
        yield layout.STAGING
        yield layout.table_prefix(RECORDS.name)
        yield layout.current_manifests_prefix(RECORDS.name)
        yield f"{layout.execution_manifests_prefix('killed')}{RECORDS.name}/"

    def photograph(self) -> Photograph:
        client, name = self.bucket.client, self.bucket.name
        found = (mirror.objects(client, name, prefix, self.known) for prefix in self.prefixes())
        return {key: content for each in found for key, content in each.items()}

    def restore(self, photograph: Photograph) -> None:
        for prefix in self.prefixes():
            wanted = {key: content for key, content in photograph.items() if key.startswith(prefix)}
            mirror.restore(self.bucket.client, self.bucket.name, prefix, wanted, self.known)

    def folders(self) -> Folders:
        """What is there now, staging included."""
        return Folders(self.bucket.below(*self.prefixes()), RECORDS)

    def run(self, execution: str, moment: Moment = lambda _: None, months: list[Month] | None = None) -> None:
        lake = crashing.watched_lake(self.spark, self.bucket.client, self.bucket.name, moment)
        ingest_into(self.spark, self.database, lake, execution, RECORDS, months)


@pytest.fixture
def crash(spark: SparkSession, database: Database, bucket: Bucket, account: Account) -> Iterator[Crash]:
    with psycopg.connect(account.source_dsn, autocommit=True) as source:
        crashing.fill(source)
        old = crashing.source_state(source, RECORDS.table)
        lake = crashing.watched_lake(spark, bucket.client, bucket.name, lambda _: None)
        ingest_into(spark, database, lake, "old", RECORDS)
        crashing.change(source)
        crash = Crash(spark, database, bucket, old, crashing.source_state(source, RECORDS.table), {})
        yield Crash(spark, database, bucket, crash.old, crash.new, crash.photograph())
        source.execute("DROP SCHEMA crash CASCADE")


def of_january(moments: Mapping[str, Photograph]) -> Iterator[tuple[str, Photograph]]:
    """The moments from the first move into January to its last delete, those at which the objects differ.

    The rows without a month are published before it.
    """
    every = list(moments)
    first = max(number for number, where in enumerate(every) if "undated.json" in where or "month=null" in where)
    last = max(number for number, where in enumerate(every) if "month=1/" in where)
    before: Photograph = {}
    for where in every[first + 1 : last + 1]:
        if moments[where] != before:
            yield where, moments[where]
        before = moments[where]


def test_a_driver_killed_while_a_month_is_published_leaves_whole_months_and_the_next_run_mends_the_rest(
    crash: Crash,
) -> None:
    moments: dict[str, Photograph] = {}
    crash.run("killed", lambda what: moments.update({what: crash.photograph()}))
    calm = crashing.comparable(_manifests(crash))
    crash.folders().assert_as_if_never_failed(calm, crash.new)
    states = list(of_january(moments))
    for number, (where, photograph) in enumerate(states):
        crash.restore(photograph)
        folders = crash.folders()
        staged, unlisted = folders.left()
        new = folders.assert_whole(crash.old, crash.new)
        print(f"\n{where}: new are {new}; {staged} files in staging, {unlisted} that no manifest lists")
        crash.run("again", months=MONTHS if number % 2 else None)
        crash.folders().assert_as_if_never_failed(calm, crash.new)
    kinds = {where.split()[1] for where, _ in states}
    assert kinds == {"copy_object", "put_object", "delete_objects"}
    assert len(states) >= 6
    crash.restore(crash.start)


def _manifests(crash: Crash) -> Mapping[str, Manifest]:
    return manifests(crash.folders().bucket, RECORDS)
