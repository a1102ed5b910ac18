"""Which plan the planner's costs lead to for real tables, and what is counted for reads by ctid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract.database import Database
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table
from spark_scripts.postgres import sql
from spark_scripts.postgres.counts import count
from spark_scripts.postgres.slicing import SlicePlan
from spark_scripts.postgres.source import Source

ROWS = "SELECT n AS id, timestamp '2024-01-01' + n * interval '1 minute' AS at, repeat('x', 200) AS pad"
MONTHS = [Month(2024, 2)]


@pytest.fixture(scope="module")
def tables(account: Any) -> Iterator[None]:
    """Half a year, a row per minute: in the order of time, shuffled, partitioned, and behind views."""
    series = "FROM generate_series(0, 200000) n"
    with psycopg.connect(account.source_dsn, autocommit=True) as source:
        source.execute("DROP SCHEMA IF EXISTS slicing CASCADE; CREATE SCHEMA slicing")
        source.execute(f"CREATE TABLE slicing.plain AS {ROWS} {series}")
        source.execute(f"CREATE TABLE slicing.ordered AS {ROWS} {series}; CREATE INDEX ON slicing.ordered (at)")
        source.execute(
            f"CREATE TABLE slicing.shuffled AS {ROWS} {series} ORDER BY hashint4(n);"
            "CREATE INDEX ON slicing.shuffled (at)"
        )
        source.execute(
            "CREATE TABLE slicing.partitioned (id int, at timestamp, pad text) PARTITION BY RANGE (at);"
            "CREATE TABLE slicing.early PARTITION OF slicing.partitioned FOR VALUES FROM (MINVALUE) TO ('2024-02-01');"
            "CREATE TABLE slicing.february PARTITION OF slicing.partitioned"
            " FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');"
            "CREATE TABLE slicing.late PARTITION OF slicing.partitioned DEFAULT;"
            f"INSERT INTO slicing.partitioned {ROWS} {series}"
        )
        source.execute("CREATE MATERIALIZED VIEW slicing.materialised AS SELECT * FROM slicing.plain")
        source.execute("CREATE VIEW slicing.of_plain AS SELECT * FROM slicing.plain")
        source.execute("CREATE VIEW slicing.of_ordered AS SELECT * FROM slicing.ordered")
        source.execute("VACUUM (FREEZE, ANALYZE)")  # all rows are visible, so an index alone can answer for the date
        yield
        source.execute("DROP SCHEMA slicing CASCADE")


@pytest.mark.parametrize(
    ("table", "months", "by"),
    [
        ("plain", None, "ctid"),
        ("ordered", None, "ctid"),
        ("materialised", None, "ctid"),
        ("partitioned", None, "ctid"),
        ("of_plain", None, "none"),
        ("of_ordered", None, "date"),
        ("plain", MONTHS, "ctid"),
        ("ordered", MONTHS, "date"),
        ("shuffled", MONTHS, "ctid"),
        ("partitioned", MONTHS, "date"),
        ("of_plain", MONTHS, "none"),
        ("of_ordered", MONTHS, "date"),
    ],
)
def test_the_plan_is_the_cheapest_that_the_planner_finds(
    tables: None, spark: SparkSession, database: Database, table: str, months: list[Month] | None, by: str
) -> None:
    entry = Table(table, f"slicing.{table}", "at", "2024-01", slices=4)
    with Source.connect(spark, database, "slicing") as source:
        relation = source.relation(entry, source.connection)
        condition = "TRUE" if months is None else sql.in_partitions(relation.date, [*months, UNDATED])
        counts = count(source.connection, relation, condition, {}, blocks=relation.by_ctid)
        relation, found = source.measured(relation), list(counts.values())
        plan = SlicePlan.chosen(source.connection, entry, relation, found, condition, cores=2, full=months is None)
    assert plan.by == by, plan.reason


def test_blocks_of_each_month_are_counted(tables: None, spark: SparkSession, database: Database) -> None:
    with Source.connect(spark, database, "slicing") as source:
        relation = source.relation(Table("ordered", "slicing.ordered", "at", "2024-01"), source.connection)
        counts = count(source.connection, relation, "TRUE", {}, blocks=True)
        relation = source.measured(relation)
    assert sorted(counts, key=str) == [Month(2024, number) for number in range(1, 6)]
    blocks = [
        (counts[Month(2024, number)].first_block, counts[Month(2024, number)].last_block) for number in range(1, 6)
    ]
    assert blocks[0][0] == 0
    assert (blocks[-1][1] or 0) < relation.blocks
    for (_, last), (first, _) in itertools.pairwise(blocks):
        assert first is not None
        assert last in (first, first - 1)


def test_without_a_common_snapshot_no_table_is_read_by_its_blocks(
    tables: None, spark: SparkSession, database: Database
) -> None:
    with Source.connect(spark, database, "slicing") as source:
        entry = Table("plain", "slicing.plain", "at", "2024-01")
        assert source.relation(entry, source.connection).by_ctid
        source._snapshot.id = None  # as on standbys and poolers that export none
        assert not source.relation(entry, source.connection).by_ctid


def test_chunks_of_timescaledb_which_may_be_compressed_are_not_read_by_their_blocks(
    tables: None, spark: SparkSession, database: Database, source: psycopg.Connection[Any]
) -> None:
    source.execute(
        "CREATE SCHEMA _timescaledb_internal; CREATE TABLE slicing.hypertable (id int, at timestamptz);"
        " CREATE TABLE _timescaledb_internal.chunk () INHERITS (slicing.hypertable)"
    )
    hypertable = Table("hypertable", "slicing.hypertable", "at", "2024-01")
    with Source.connect(spark, database, "slicing") as snapshot:
        by_ctid = snapshot.relation(hypertable, snapshot.connection).by_ctid
    source.execute("DROP SCHEMA _timescaledb_internal CASCADE; DROP TABLE slicing.hypertable")
    assert not by_ctid
