"""All readers, months and tables of an execution see one state of the source, while another session changes it.

Each transaction of the writer moves rows between months, deletes one, inserts one, shifts an amount from one row to
another and stamps what it touched with its own number. A read of two states shows: an id twice or not at all, another
number of rows, another sum of amounts, or a row of another state than that of the snapshot.
"""

from __future__ import annotations

import csv
import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pyspark.sql import SparkSession

from spark_scripts.contract.database import Database
from spark_scripts.contract.months import Month
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.source import Source
from tests.integration.conftest import Account
from tests.integration.whole import manifests

ROWS = 20_000
AMOUNT = 100
MONTHS = tuple(Month(2024, number) for number in range(1, 5))
PAUSE = 0.002
"""Between two transactions of the writer: it would otherwise take a core from the job."""

Row = tuple[str, ...]

ONE_STEP = """
WITH picked AS MATERIALIZED (SELECT id, row_number() OVER () AS n FROM snap.moving WHERE id = ANY(%(ids)s)),
moved AS (
    UPDATE snap.moving SET at = %(at)s, version = %(version)s,
        amount = amount + CASE n WHEN 1 THEN -7 WHEN 2 THEN 7 ELSE 0 END
    FROM picked WHERE moving.id = picked.id AND (SELECT count(*) FROM picked) >= 3 AND n <= 2
), gone AS (
    DELETE FROM snap.moving USING picked
    WHERE moving.id = picked.id AND n = 3 RETURNING amount
)
INSERT INTO snap.moving (id, at, amount, version) SELECT %(new)s, %(at)s, amount, %(version)s FROM gone
"""


@dataclass
class Writer:
    """Changes the table until it is asked to end; `commits` counts its transactions."""

    dsn: str = field(repr=False)
    commits: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        choice = random.Random(3)  # noqa: S311 (the same rows each time)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for version in itertools.count(1):
                if self.ended.wait(PAUSE):
                    return
                self._step(connection, version, choice)

    def _step(self, connection: psycopg.Connection[Any], version: int, choice: random.Random) -> None:
        values = {
            "ids": choice.sample(range(1, ROWS), 6),
            "at": f"2024-0{choice.randint(1, 4)}-{choice.randint(1, 28)} 12:00",
            "version": version,
            "new": ROWS + version,
        }
        if connection.execute(ONE_STEP, values).rowcount:
            self.commits += 1


@contextmanager
def writing(dsn: str) -> Iterator[Writer]:
    """A running writer, which has begun to commit."""
    writer = Writer(dsn)
    thread = threading.Thread(target=writer.work)
    thread.start()
    try:
        while writer.commits < 5:
            assert thread.is_alive()
            writer.ended.wait(PAUSE)
        yield writer
        assert thread.is_alive(), "the writer failed while the job was reading"
    finally:
        writer.ended.set()
        thread.join()


@pytest.fixture
def moving(source: psycopg.Connection[Any]) -> Iterator[str]:
    """A table whose rows will move, spread over the months and over more than a hundred blocks."""
    source.execute("DROP SCHEMA IF EXISTS snap CASCADE; CREATE SCHEMA snap")
    source.execute(
        "CREATE TABLE snap.moving"
        " (id int PRIMARY KEY, at timestamp NOT NULL, amount int NOT NULL, version int NOT NULL)"
    )
    source.execute(
        "INSERT INTO snap.moving SELECT n, '2024-01-01'::timestamp + n %% 121 * interval '1 day', %s, 0"
        " FROM generate_series(1, %s) n",
        [AMOUNT, ROWS],
    )
    source.execute("CREATE INDEX ON snap.moving (at); ANALYZE snap.moving")
    yield "snap.moving"
    source.execute("DROP SCHEMA snap CASCADE")


def requests(relation: str) -> list[TableRequest]:
    """The table by each way of slicing: all of it, and its months, which are then read one after the other."""
    table = Table("moving", relation, "at", "2024-01")

    def sliced(name: str, months: tuple[Month, ...] | None, **changes: Any) -> TableRequest:
        return TableRequest(Table(**{**table.__dict__, "name": name, **changes}), months)

    return [
        sliced("moving_by_ctid", None, slice_by="ctid", slices=6),
        sliced("moving_by_date", MONTHS, slice_by="date", slices=3),
        sliced("moving_whole", MONTHS, slice_by="none"),
        sliced("moving_as_planned", MONTHS),
        sliced("moving_to_parquet", None, format="parquet", slice_by="ctid", slices=3),
    ]


def state(dsn: str, relation: str, snapshot: str) -> list[Row]:
    """The table as of an exported snapshot."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        query = sql.SQL("SELECT id::text, at::text, amount::text, version::text FROM {}").format(sql.SQL(relation))
        return sorted(connection.execute(query).fetchall())


def published(spark: SparkSession, bucket: Path, table: Table) -> list[Row]:
    """The rows of all months, as text."""
    files = [str(bucket / file.key) for month in manifests(bucket, table).values() for file in month.files]
    if table.format == "parquet":
        frame = spark.read.parquet(*files)
        return sorted(
            tuple(map(str, row)) for row in frame.select(*(frame[c].cast("string") for c in frame.columns)).collect()
        )
    rows: list[Row] = []
    for file in files:
        with Path(file).open(newline="", encoding="utf-8") as lines:
            rows += map(tuple, list(csv.reader(lines))[1:])
    return sorted(rows)


def test_all_readers_months_and_tables_of_an_execution_see_one_state_while_a_writer_moves_rows(
    spark: SparkSession,
    database: Database,
    lake: Lake,
    bucket: Path,
    account: Account,
    moving: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "spark_scripts.ingestion.reading.BATCH_ROWS", 1
    )  # a Spark job for each month that is read by date
    asked = requests(moving)
    keys = [lock_key(lake.bucket, request.table.name) for request in asked]
    with (
        writing(account.source_dsn) as writer,
        Locks.taken(spark, database, "one-snapshot", keys) as locks,
        Source.connect(spark, database, "one-snapshot") as source,
    ):
        assert source.snapshot
        expected = state(account.source_dsn, moving, source.snapshot)
        before = writer.commits
        ingest(spark, source, locks, lake, asked)
        during = writer.commits - before
        after = state_now(account.source_dsn, moving)
    print(
        f"\n{during} transactions committed while the job read; {len(set(after) - set(expected))} rows changed by them"
    )
    assert during > 100
    assert len(set(after) - set(expected)) > 100
    assert_one_state(expected)
    for request in asked:
        found = published(spark, bucket, request.table)
        assert_one_state(found)
        assert Counter(found) == Counter(expected), request.table.name
        by_month = Counter(row[1][:7] for row in found)
        assert {m: f.rows for m, f in manifests(bucket, request.table).items() if f.rows} == by_month
        print(f"{request.table.name}: {len(found)} rows, months {dict(sorted(by_month.items()))}: the snapshot's")


def state_now(dsn: str, relation: str) -> list[Row]:
    with psycopg.connect(dsn) as connection:
        snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert snapshot
        return state(dsn, relation, snapshot[0])


def assert_one_state(rows: list[Row]) -> None:
    """Check what no transaction of the writer changes: the numbers of rows and of ids, and the sum of the amounts."""
    assert (len(rows), len({row[0] for row in rows}), sum(int(row[2]) for row in rows)) == (ROWS, ROWS, ROWS * AMOUNT)
