"""The digest of a month's content: taken by Spark while it writes, read back by the job, checked by Python later."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from xxhash import xxh64_intdigest

from ingest_assets.aws.content import differences
from ingest_assets.aws.raw_layer import RawLayer
from spark_scripts.contract import layout
from spark_scripts.contract.content import SEED, Content
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table
from spark_scripts.lake import spark_io
from tests.integration.conftest import ROOT, Account
from tests.integration.published import Run, manifest
from tests.integration.whole import execute

JANUARY, FEBRUARY = Month(2024, 1), Month(2024, 2)
Source = psycopg.Connection[Any]


@pytest.fixture
def source(source: Source) -> Iterator[Source]:
    execute(source, "DROP SCHEMA IF EXISTS verified CASCADE; CREATE SCHEMA verified")
    yield source
    execute(source, "DROP SCHEMA verified CASCADE")


def verified(name: str, **changes: Any) -> Table:
    return Table(name, f"verified.{name}", "at", "2024-01", **{"verify": "content", **changes})


def content(bucket: Path, table: Table, month: Month = JANUARY) -> str:
    found = manifest(bucket, table, month).content
    assert found is not None
    return found


def test_spark_and_python_have_the_same_hash_of_any_bytes(spark: SparkSession) -> None:
    chance = random.Random(20260101)  # noqa: S311 (a test's bytes, the same each time)
    values = [chance.randbytes(length) for length in [*range(100), 1000, 4095, 65_536]]
    values += ["𝄞€é\0".encode() * times for times in (1, 7, 9)]
    rows = spark.createDataFrame([Row(value=bytearray(value)) for value in values])
    found = rows.select(F.xxhash64("value"), F.xxhash64(F.lit(5), "value")).collect()
    number = xxh64_intdigest((5).to_bytes(4, "little"), SEED)
    expected = [(xxh64_intdigest(value, SEED), xxh64_intdigest(value, number)) for value in values]
    assert [(one % 2**64, two % 2**64) for one, two in found] == expected


def test_the_digest_is_of_the_rows_however_they_are_read_and_written(
    run: Run, source: Source, bucket: Path, raw_layer: RawLayer
) -> None:
    execute(
        source,
        "CREATE TABLE verified.ways AS SELECT '2024-01-01'::date + n % 60 AS at, n AS id, E'a\\n\"' || n % 7 AS note"
        " FROM generate_series(1, 20000) n",
    )
    ways: list[dict[str, Any]] = [
        {"verify": "count"},
        {"slice_by": "ctid", "slices": 7},
        {"slice_by": "date", "slices": 2, "compression": "gzip"},
        {"compression": "bzip2", "verify": "count"},
        {"compression": "deflate", "slices": 1},
    ]
    ways += [{**way, "format": "parquet", "compression": None} for way in ways[:3]]
    found: dict[str, set[str]] = {"csv": set(), "parquet": set()}
    for index, way in enumerate(ways):
        table = verified("ways", **way)
        run(f"way-{index}", table)
        found[table.format].add(content(bucket, table))
        for month in (JANUARY, FEBRUARY):
            assert differences(raw_layer, manifest(bucket, table, month)) == []
    assert {kind: len(digests) for kind, digests in found.items()} == {"csv": 1, "parquet": 1}
    execute(source, "UPDATE verified.ways SET note = 'b' WHERE id = 1")
    run("changed", verified("ways"))
    assert content(bucket, verified("ways")) not in found["csv"]
    assert manifest(bucket, verified("ways"), UNDATED).content == str(Content("csv"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_digests_of_many_months_are_those_of_one_pass_in_any_order(
    run: Run, source: Source, bucket: Path, raw_layer: RawLayer, kind: str
) -> None:
    rows = "SELECT '2019-01-01'::date + n / 5 AS at, n AS id, 'a' || n % 7 AS note FROM generate_series(0, 10000) n"
    digests = []
    for name, order in (("ordered", "n"), ("shuffled", "md5(n::text)")):
        execute(source, f"CREATE TABLE verified.{name} AS {rows} ORDER BY {order}")
        table = verified(name, format=kind, slice_by="ctid", slices=6)
        run(name, table)
        found = raw_layer.current_manifests(name)
        assert [difference for each in found for difference in differences(raw_layer, each)] == []
        digests.append([each.content for each in found])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 67  # with the rows without a month


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_differs_in_the_bucket_is_not_published(
    run: Run, source: Source, bucket: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    execute(
        source, "CREATE TABLE verified.broken AS SELECT '2024-01-01'::date + n AS at, n FROM generate_series(0, 40) n"
    )
    read_back = spark_io.read_back

    def damaged(spark: SparkSession, table: Table, uri: str, *others: Any) -> Any:
        folder = bucket / uri.partition(f"{bucket.name}/")[2]
        [first, *_] = sorted(file for file in folder.rglob("month_day=*/*") if f"={JANUARY.epoch_day}/" in str(file))
        written = first.read_bytes()
        place = written.index(b"2024-01-02") + 9 if kind == "csv" else written.index(b"\x0f\x4d\0\0")
        first.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        return read_back(spark, table, uri, *others)

    monkeypatch.setattr(spark_io, "read_back", damaged)
    table = verified("broken", format=kind, compression=None if kind == "csv" else "uncompressed")
    told = r"broken: the files of 2024-01 do not hold what Spark wrote.*run it again"
    with pytest.raises(IngestionError, match=told):
        run("broken", table, months=[JANUARY])
    assert not (bucket / layout.partition_prefix("broken", JANUARY)).exists()


Damage = Callable[[Path, list[Path], list[Path]], None]


def _flip(bucket: Path, january: list[Path], february: list[Path]) -> None:
    found = bytearray(january[0].read_bytes())
    found[len(found) // 2] ^= 1
    january[0].write_bytes(found)


def _lose(bucket: Path, january: list[Path], february: list[Path]) -> None:
    january[0].unlink()


def _cut(bucket: Path, january: list[Path], february: list[Path]) -> None:
    january[0].write_bytes(january[0].read_bytes()[:-10])


def _cut_and_fill(bucket: Path, january: list[Path], february: list[Path]) -> None:
    found = january[0].read_bytes()
    january[0].write_bytes(found[:-10] + bytes(10))


def _overwrite(bucket: Path, january: list[Path], february: list[Path]) -> None:
    january[0].write_bytes(b"x" * january[0].stat().st_size)


def _swap(bucket: Path, january: list[Path], february: list[Path]) -> None:
    one, two = january[0].read_bytes(), february[0].read_bytes()
    january[0].write_bytes(two)
    february[0].write_bytes(one)


def _double_and_lose(bucket: Path, january: list[Path], february: list[Path]) -> None:
    header, first, _, *others = january[0].read_bytes().splitlines(keepends=True)
    january[0].write_bytes(b"".join([header, first, first, *others]))


def _lose_a_line(bucket: Path, january: list[Path], february: list[Path]) -> None:
    header, _, *others = january[0].read_bytes().splitlines(keepends=True)
    january[0].write_bytes(b"".join([header, *others]))


EVERY: list[Damage] = [_flip, _lose, _cut, _cut_and_fill, _overwrite, _swap]


def test_every_damage_in_the_bucket_is_found_and_named(
    run: Run, source: Source, bucket: Path, raw_layer: RawLayer
) -> None:
    """Rows of 20 bytes, so that files and lines have equal sizes."""
    execute(
        source,
        "CREATE TABLE verified.kept AS SELECT '2024-01-01'::date + n % 60 AS at, 1000 + n AS id,"
        " substr(md5(n::text), 1, 4) AS note FROM generate_series(0, 599) n",
    )
    cases: list[tuple[dict[str, Any], list[Damage]]] = [
        ({}, [*EVERY, _double_and_lose, _lose_a_line]),
        ({"compression": "gzip"}, EVERY),
        ({"compression": "deflate"}, EVERY),
        ({"format": "parquet"}, EVERY),
    ]
    for number, (entry, damages) in enumerate(cases):
        table = verified("kept", slice_by="none", verify="count", **entry)
        run(f"kept-{number}", table)
        months = [manifest(bucket, table, month) for month in (JANUARY, FEBRUARY)]
        files = [[bucket / file.key for file in month.files] for month in months]
        before = {file: file.read_bytes() for each in files for file in each}
        assert [differences(raw_layer, month) for month in months] == [[], []]
        for damage in damages:
            damage(bucket, *files)
            told = " ".join(differences(raw_layer, months[0]))
            assert months[0].files[0].key in told or "1 row" in told, (entry, damage, told)
            assert bool(differences(raw_layer, months[1])) == (damage is _swap)
            for file, written in before.items():
                file.write_bytes(written)


def test_the_command_names_the_month_that_differs_and_how_to_ingest_it(
    run: Run, source: Source, bucket: Path, account: Account
) -> None:
    execute(source, "CREATE TABLE verified.told AS SELECT '2024-01-01'::date + n AS at FROM generate_series(0, 59) n")
    table = verified("told", verify="count")
    run("told", table)
    assert _verify("--table", "told") == (
        0,
        [
            "told 2024-01: 31 rows in 1 file, as ingested",
            "told 2024-02: 29 rows in 1 file, as ingested",
            "told undated: 0 rows in 0 files, as ingested",
        ],
    )
    [file] = manifest(bucket, table, FEBRUARY).files
    (bucket / file.key).write_bytes((bucket / file.key).read_bytes().replace(b"02-17", b"02-18"))
    code, lines = _verify("--table", "told", "--month", "2024-02")
    assert code == 1
    assert lines == [
        f"told 2024-02: the files hold other rows than were ingested: {file.key}",
        "1 month of told differs from what was ingested. Ingest again: python -m aws_setup trigger --wait --input"
        ' \'{"table": "told", "months": ["2024-02"]}\'',
    ]
    assert _verify("--table", "told", "--month", "2024-01")[0] == 0
    assert _verify("--table", "told", "--month", "2024-03") == (2, ["error: told 2024-03 has not been ingested"])
    assert _verify("--table", "none")[0] == 2


def _verify(*arguments: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "aws_setup", "verify", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_lines_that_sparks_csv_reader_cannot_read_are_read_back(
    run: Run, source: Source, bucket: Path, raw_layer: RawLayer
) -> None:
    execute(source, "CREATE TABLE verified.lone AS SELECT * FROM (VALUES ('2024-01-02'::date), (NULL)) AS v (at)")
    execute(source, "CREATE TABLE verified.corrupt (at date, _corrupt_record text)")
    execute(source, "INSERT INTO verified.corrupt VALUES ('2024-01-01', 'x'), ('2024-01-02', NULL), (NULL, '')")
    execute(source, 'CREATE TABLE verified.breaks ("a\r\n\n" text, at date)')
    execute(source, "INSERT INTO verified.breaks VALUES (E'\\r\\n\"', '2024-01-01'), (NULL, '2024-01-03'), ('', NULL)")
    tables = [verified(name) for name in ("lone", "corrupt", "breaks")]
    run("odd", *tables)
    for table, rows in zip(tables, (1, 2, 2), strict=True):
        found = [manifest(bucket, table, partition) for partition in (JANUARY, UNDATED)]
        assert [each.rows for each in found] == [rows, 1]
        assert [differences(raw_layer, each) for each in found] == [[], []]


def test_long_fields_and_many_columns_are_read_back(
    run: Run, source: Source, bucket: Path, raw_layer: RawLayer
) -> None:
    names = ", ".join(f"c{number} text" for number in range(1500))
    execute(source, f"CREATE TABLE verified.wide (at date, {names})")
    execute(source, "INSERT INTO verified.wide (at, c9) VALUES ('2024-01-01', repeat(E'\"\\n,x', 2500000)), (NULL, '')")
    for table in (verified("wide"), verified("wide", format="parquet")):
        run(f"wide-{table.format}", table)
        found = [manifest(bucket, table, partition) for partition in (JANUARY, UNDATED)]
        assert [each.rows for each in found] == [1, 1]
        assert [differences(raw_layer, each) for each in found] == [[], []]
