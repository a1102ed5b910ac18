"""The months of a timestamptz are those of the entry's zone, also where PostgreSQL has an abbreviation of that name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pyspark.sql import SparkSession

from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table
from spark_scripts.postgres.source import Source
from spark_scripts.postgres.zones import spelled
from tests.integration.published import Run
from tests.integration.whole import differing, manifests

NAMES = sorted(available_timezones() - {"localtime", "Factory"})  # tables.yaml refuses these two
YEARS = (2000, 2010, 2020)  # for which all releases of tzdata in use agree
SECOND = timedelta(seconds=1)

EMPTY = "DROP SCHEMA IF EXISTS zones CASCADE; CREATE SCHEMA zones; CREATE TABLE zones.hours (at timestamptz)"

ABBREVIATIONS = "SELECT array_agg(abbrev) FROM pg_timezone_abbrevs"

# SET TimeZone takes zones only. What AT TIME ZONE says is compared with that and with Python's wall time.
DIFFERING = """
CREATE FUNCTION pg_temp.differing(names text[], spelled text[], moments jsonb) RETURNS TABLE (name text, at text)
LANGUAGE plpgsql AS $$
BEGIN
    FOR index IN 1 .. array_length(names, 1) LOOP
        PERFORM set_config('TimeZone', names[index], true);
        RETURN QUERY
            SELECT names[index], moment.at::text
            FROM jsonb_to_recordset(moments -> names[index]) AS moment (at timestamptz, wall timestamp)
            WHERE (moment.at AT TIME ZONE spelled[index]) <> moment.wall OR moment.at::timestamp <> moment.wall;
    END LOOP;
END $$
"""


def changes(zone: ZoneInfo, year: int) -> Iterator[datetime]:
    """The instants at which the zone's clocks change in the year, at most one in each month."""
    months = [datetime(year, month, 1, tzinfo=UTC) for month in range(1, 13)] + [datetime(year + 1, 1, 1, tzinfo=UTC)]
    for low, high in pairwise(months):
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            yield change(zone, low, high)


def change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first second after `low` with the offset that `high` has."""
    before = low.astimezone(zone).utcoffset()
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


@cache
def moments(name: str) -> list[dict[str, str]]:
    """Instants with their wall time: the start of each month in UTC, and the seconds around each change of clocks."""
    zone = ZoneInfo(name)
    instants = [datetime(year, month, 1, tzinfo=UTC) for year in YEARS for month in range(1, 13)]
    for year in YEARS:
        instants += [about for at in changes(zone, year) for about in (at - SECOND, at, at + SECOND)]
    return [
        {"at": at.isoformat(), "wall": at.astimezone(zone).replace(tzinfo=None).isoformat()} for at in sorted(instants)
    ]


@pytest.mark.parametrize("abbreviations", ["Default", "Australia"])
def test_every_zone_of_python_is_that_zone_to_at_time_zone(source: psycopg.Connection[Any], abbreviations: str) -> None:
    source.execute("SELECT set_config('timezone_abbreviations', %s, false)", [abbreviations])
    [found] = source.execute(ABBREVIATIONS).fetchone() or [[]]
    both = [name for name in NAMES if name.upper() in found]
    assert {"CET", "EET", "MET", "WET"} < set(both)
    sent = [spelled(name, abbreviation=name in both) for name in NAMES]
    source.execute(DIFFERING)
    compared = "SELECT name, count(*) FROM pg_temp.differing(%s, %s, %s) GROUP BY name"
    wanted = Jsonb({name: moments(name) for name in NAMES})
    assert source.execute(compared, [NAMES, sent, wanted]).fetchall() == []
    plainly_named = source.execute(compared, [NAMES, NAMES, wanted]).fetchall()
    assert {"CET", "EET", "MET", "WET"} <= {name for name, _ in plainly_named}  # so the comparison can fail


def test_rows_are_in_the_month_of_their_zone(run: Run, source: psycopg.Connection[Any], bucket: Path) -> None:
    source.execute(
        """
        DROP SCHEMA IF EXISTS zones CASCADE; CREATE SCHEMA zones;
        CREATE TABLE zones.hours AS
            SELECT begin + n * interval '30 minutes' AS at, begin || ' ' || n AS name
            FROM generate_series(0, 200) n, unnest('{2024-06-29 00:00Z, 2024-10-30 00:15Z}'::timestamptz[]) begin
        """
    )
    zones = ("CET", "WET", "America/Havana")
    hours = [at for [at] in source.execute("SELECT at FROM zones.hours").fetchall()]
    expected = {zone: Counter(str(Month.of(at.astimezone(ZoneInfo(zone)))) for at in hours) for zone in zones}
    assert len({str(sorted(months.items())) for months in expected.values()}) == len(zones)
    months = [Month(2024, number) for number in (6, 7, 10, 11)]
    for way, asked in (("ctid", None), ("date", months)):
        names = {zone: f"zone-{way}-{zone}".replace("/", "-") for zone in zones}
        tables = [Table(names[zone], "zones.hours", "at", "2024-01", timezone=zone, slice_by=way) for zone in zones]
        run(f"zones-{way}", *tables, months=asked)
        for table in tables:
            rows = Counter({label: found.rows for label, found in manifests(bucket, table).items()})
            assert +rows == expected[table.timezone], table.name
            assert differing(source, bucket, table) == []


def test_a_zone_that_the_server_does_not_have_is_refused_by_name(run: Run, source: psycopg.Connection[Any]) -> None:
    source.execute(EMPTY)
    refusal = "table newer: the PostgreSQL server has no time zone Mars/Base: set `timezone` in tables.yaml to another"
    with pytest.raises(IngestionError, match=refusal):
        run("newer", Table("newer", "zones.hours", "at", "2024-01", timezone="Mars/Base"))


def test_only_a_name_that_is_an_abbreviation_too_is_written_in_another_way(
    spark: SparkSession, database: Database, source: psycopg.Connection[Any]
) -> None:
    source.execute(EMPTY)
    names = {"UTC": "UTC", "America/Chicago": "America/Chicago", "CET": ":CET", "Zulu": ":Zulu", "EST5EDT": "EST5EDT"}
    with Source.connect(spark, database, "zones") as opened:
        for name, sent in names.items():
            hours = Table("hours", "zones.hours", "at", "2024-01", timezone=name)
            assert opened.relation(hours, opened.connection).date.timezone == sent
