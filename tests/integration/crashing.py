"""Crashes of the driver: what it leaves in the lake at each moment, and whether that is whole.

A killed driver leaves what it has written, in the order in which it wrote, and no lock. So the state after a kill at
any moment is a photograph of the lake taken at that moment: no JVM need die for each. test_crashes.py kills some real
ones, and finds what the photographs show.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.source import Source
from tests.gates import GATE
from tests.integration.published import read_csv
from tests.integration.whole import execute, manifests

Moment = Callable[[str], None]
Rows = list[tuple[str, ...]]
State = Mapping[str, Rows]
"""The rows of each month, by its label."""

_OF_SPARK = re.compile(r"-[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/task_)\d+_\d+")  # a UUID, a time and a stage for each write


class Watched:
    """`part` of the lake, telling `moment` before and after each of its `writes`, which `one_at_a_time` keeps apart."""

    def __init__(self, part: Any, moment: Moment, one_at_a_time: AbstractContextManager[Any], *writes: str) -> None:
        self._part = part
        self._moment = moment
        self._one_at_a_time = one_at_a_time
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in self._writes:
            return found

        def write(*arguments: Any, **named: Any) -> Any:
            what = f"{name} {shortened(_key(named) or arguments[0].toString())}"
            if what.endswith("/_progress.json"):  # from another thread, at any time, and of no month
                return found(*arguments, **named)
            with self._one_at_a_time:
                self._moment(f"before {what}")
                result = found(*arguments, **named)
                self._moment(f"after {what}")
            return result

        return write


def _key(named: Mapping[str, Any]) -> str | None:
    """The key, or the first of several, that a request to S3 is about."""
    return named["Delete"]["Objects"][0]["Key"] if "Delete" in named else named.get("Key")


def watched_lake(spark: SparkSession, client: Any, bucket: str, moment: Moment) -> Lake:
    """The lake, telling `moment` before and after each write of the driver: Hadoop's and S3's own."""
    lock = threading.Lock()  # files are moved side by side
    watched: Any = Watched(client, moment, lock, "put_object", "copy_object", "delete_objects")
    lake = Lake(spark, watched, bucket)
    lake._fs = Watched(lake._fs, moment, lock, "mkdirs", "rename", "delete")
    return lake


def shortened(text: str) -> str:
    """A path without bucket, raw layer and what differs from run to run."""
    return _OF_SPARK.sub("", re.sub(r"^s3://[^/]+/", "", text).removeprefix(layout.RAW_LAYER)).replace(
        "__HIVE_DEFAULT_PARTITION__", "null"
    )


@dataclass(frozen=True)
class Folders:
    """Where a table is in the bucket, staging of all executions included. No other table is ingested meanwhile."""

    bucket: Path
    table: Table

    def roots(self) -> Iterator[Path]:
        yield self.bucket / layout.STAGING
        yield self.bucket / layout.RAW_LAYER / self.table.name
        yield self.bucket / layout.current_manifests_prefix(self.table.name)
        yield self.bucket / layout.execution_manifests_prefix("killed") / self.table.name

    def photograph(self) -> dict[Path, bytes | None]:
        """Every file with its content, every folder with None."""
        paths = [path for root in self.roots() for path in [root, *sorted(root.rglob("*"))] if path.exists()]
        return {path: None if path.is_dir() else path.read_bytes() for path in paths}

    def restore(self, photograph: Mapping[Path, bytes | None]) -> None:
        """Make the lake what it was."""
        for root in self.roots():
            shutil.rmtree(root, ignore_errors=True)
        for path, content in photograph.items():
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)

    def left(self) -> tuple[int, int]:
        """The files in staging, and those in the months' folders that no manifest lists."""
        staging, months, *_ = self.roots()
        listed = {
            self.bucket / file.key for found in manifests(self.bucket, self.table).values() for file in found.files
        }
        return len(files_below(staging)), len(files_below(months) - listed)

    def held(self) -> dict[str, str]:
        """The execution that each month is of, once each is found complete: every listed file is there in full."""
        found = manifests(self.bucket, self.table)
        for month in found.values():
            sizes = [(self.bucket / file.key).stat().st_size for file in month.files]
            assert sizes == [file.bytes for file in month.files], month
        return {label: month.execution for label, month in sorted(found.items())}

    def rows(self) -> State:
        """What the manifests' files hold."""
        found = manifests(self.bucket, self.table)
        return {label: sorted(map(tuple, read_csv(self.bucket, month))) for label, month in found.items()}

    def assert_whole(self, old: State, new: State) -> str:
        """Each month is complete under its manifest, with the rows of `old` or of `new`. Tells which months are new."""
        held, rows = self.held(), self.rows()
        assert held.keys() >= old.keys()
        for label, month in manifests(self.bucket, self.table).items():
            expected = old if held[label] == "old" else new
            assert rows[label] == expected.get(label, []), f"{label} of {held[label]}"
            assert month.rows == month.source_rows == len(rows[label])
        return ", ".join(label for label, execution in held.items() if execution != "old") or "none"

    def assert_as_if_never_failed(self, like: Mapping[str, Manifest], new: State) -> None:
        """The manifests are those of a run that never failed, the files are theirs, and nothing else is there."""
        assert self.left() == (0, 0)
        assert not [path for path in (self.bucket / layout.STAGING).glob("*/*") if path.name == self.table.name]
        assert {label: rows for label, rows in self.rows().items() if rows} == new
        self.held()
        assert comparable(manifests(self.bucket, self.table)) == like


def ingest_into(
    spark: SparkSession,
    database: Database,
    lake: Lake,
    execution: str,
    table: Table,
    months: list[Month] | None = None,
    *,
    refresh: bool = False,
) -> None:
    """Ingest the table, all of it when `months` is None; with `refresh` what has changed of that."""
    request = TableRequest(table, None if months is None else tuple(months), refresh)
    with (
        Locks.taken(spark, database, execution, [lock_key(lake.bucket, table.name)]) as locks,
        Source.connect(spark, database, execution) as source,
    ):
        ingest(spark, source, locks, lake, [request])


def files_below(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def comparable(found: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """Manifests without what differs from run to run."""
    return {
        label: replace(
            month,
            execution="",
            snapshot=None,
            table_bytes=None,  # autovacuum changes it,
            table_rows=None,  # and this estimate
            seconds=0,
            started="",
            finished="",
            files=tuple(replace(file, key=shortened(file.key).replace(month.execution, "")) for file in month.files),
        )
        for label, month in found.items()
    }


def source_state(source: psycopg.Connection[Any], relation: str) -> State:
    """The rows of id, at, note in the source, by partition key, as text."""
    query = f"SELECT id::text, coalesce(at::text, ''), note FROM {relation}"
    rows = source.execute(query.encode()).fetchall()
    state: dict[str, Rows] = {}
    for row in sorted(rows):
        state.setdefault(row[1][:7] or UNDATED.key, []).append(row)
    return state


def fill(source: psycopg.Connection[Any]) -> None:
    """Tables with rows in January, February and some without a month. In `gated` a reader waits at the gate.

    The gate is an advisory lock. Its rows come after the first 10,000 that a reader fetches, so that it has written
    files by then. STABLE lets the planner leave it out where the column is not asked for: the counts do not wait.
    """
    execute(
        source,
        f"""
        DROP SCHEMA IF EXISTS crash CASCADE; CREATE SCHEMA crash;
        CREATE TABLE crash.records (id int PRIMARY KEY, at timestamp, note text);
        INSERT INTO crash.records SELECT n, '2024-01-10'::timestamp + n % 2 * interval '1 month', repeat('x', 1000)
            FROM generate_series(1, 40) n;
        INSERT INTO crash.records VALUES (41, NULL, 'never');
        CREATE TABLE crash.many (id int PRIMARY KEY, at timestamp, note text);
        INSERT INTO crash.many SELECT n, '2024-01-10'::timestamp + n / 12001 * interval '1 month', 'old ' || n
            FROM generate_series(1, 36000) n;
        CREATE FUNCTION crash.gate(id int) RETURNS text STABLE LANGUAGE plpgsql AS
            $$BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN ''; END$$;
        CREATE VIEW crash.gated AS
            SELECT id, at, note || CASE WHEN id % 12000 = 11000 THEN crash.gate(id) ELSE '' END AS note FROM crash.many;
        """,
    )


def change(source: psycopg.Connection[Any]) -> None:
    """January gets other rows, February none, March its first; half of January stays, and the rest moves."""
    execute(
        source,
        """
        UPDATE crash.records SET note = repeat('y', 1000) WHERE at < '2024-02-01' AND id % 4 = 0;
        DELETE FROM crash.records WHERE at >= '2024-02-01' OR id = 2;
        INSERT INTO crash.records SELECT n, '2024-03-10', repeat('z', 1000) FROM generate_series(50, 69) n;
        UPDATE crash.records SET note = 'changed' WHERE at IS NULL;
        INSERT INTO crash.records VALUES (42, NULL, 'new');
        UPDATE crash.many SET note = 'new ' || id;
        """,
    )


MONTHS = [Month(2024, number) for number in (1, 2, 3)]
