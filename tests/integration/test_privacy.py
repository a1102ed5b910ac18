"""Columns that are dropped, hashed or masked on their way to the lake."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from spark_scripts.contract import layout
from spark_scripts.contract.database import Database
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import Column
from spark_scripts.contract.months import Month
from spark_scripts.contract.privacy import fingerprint
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.source import Source
from tests.integration import type_tables
from tests.integration.published import Run, manifest
from tests.integration.type_cases import SCALARS
from tests.integration.whole import BACK, execute, manifests, read_back, settle

PEPPER = "0f" * 32
JANUARY, FEBRUARY = Month(2024, 1), Month(2024, 2)
PEOPLE = Table(
    "people",
    "private.people",
    "at",
    "2024-01",
    columns={
        "email": {"hash": True},
        "phone": {"mask": {"last": 4}},
        "zip": {"mask": {"first": 3}},
        "mail": {"mask": {"domain": True}},
        "ssn": {"drop": True},
        "ref": {"hash": True},
        "name": {"keep": True},
    },
    verify="content",
)
ROWS = """
CREATE SCHEMA private;
CREATE TABLE private.people (email text, id int, name text, ssn text, phone varchar(30), zip char(8), mail text,
    at date, ref int);
COMMENT ON COLUMN private.people.email IS 'where we write to';
INSERT INTO private.people VALUES
    ('ann@example.com', 1, 'Ann "A", née B', '123-45-6789', '+49 170 1234567', '12345', 'ann@example.com',
        '2024-01-05', 7),
    ('', 2, '', '', '1234', '123', 'no address', '2024-01-06', -1),
    (NULL, 3, NULL, NULL, NULL, NULL, NULL, '2024-01-07', NULL),
    (E'line\\nbreak, "quoted" ünï', 4, E'a\\nb', 'x', '12345', '1234', E'"a@b"\\n@straße.example', '2024-02-01', 7),
    ('ann@example.com', 5, 'x', 'x', '', '', 'a@b@', NULL, 2147483647);
"""


def hashed(text: str | None, pepper: str = PEPPER) -> str | None:
    """What Python makes of the text."""
    return None if text is None else hmac.new(pepper.encode(), text.encode(), "sha256").hexdigest()


@pytest.fixture
def database(database: Database) -> Database:
    """The source of `run`, with a pepper."""
    return replace(database, pepper=PEPPER)


@pytest.fixture
def people(source: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    execute(source, "DROP SCHEMA IF EXISTS private CASCADE")
    execute(source, ROWS)
    return source


EXPECTED = {
    1: (hashed("ann@example.com"), "1", 'Ann "A", née B', "4567", "123", "example.com", "2024-01-05", hashed("7")),
    2: (hashed(""), "2", "", "", "", "", "2024-01-06", hashed("-1")),
    3: (None, "3", None, None, None, None, "2024-01-07", None),
    4: (hashed('line\nbreak, "quoted" ünï'), "4", "a\nb", "2345", "123", "straße.example", "2024-02-01", hashed("7")),
    5: (hashed("ann@example.com"), "5", "x", "", "", "", None, hashed("2147483647")),
}


def test_csv_holds_hashes_masks_and_no_dropped_column(run: Run, people: psycopg.Connection[Any], bucket: Path) -> None:
    run("private-csv", PEOPLE)
    read_back(people, bucket, PEOPLE)
    found = people.execute(f"SELECT * FROM {BACK.as_string()}".encode()).fetchall()
    assert {int(row[1]): row for row in found} == EXPECTED


def test_parquet_holds_the_same(run: Run, people: psycopg.Connection[Any], bucket: Path, spark: SparkSession) -> None:
    table = replace(PEOPLE, name="people_parquet", format="parquet")
    run("private-parquet", table)
    files = [str(bucket / file.key) for each in manifests(bucket, table).values() for file in each.files]
    found = spark.read.parquet(*files)
    assert [(field.name, field.dataType.simpleString()) for field in found.schema] == [
        ("email", "string"), ("id", "int"), ("name", "string"), ("phone", "string"), ("zip", "string"),
        ("mail", "string"), ("at", "date"), ("ref", "string"),
    ]  # fmt: skip
    rows = {row["id"]: tuple(None if each is None else str(each) for each in row) for row in found.collect()}
    assert rows == EXPECTED


def test_the_manifest_says_what_was_done_to_which_column(
    run: Run, people: psycopg.Connection[Any], bucket: Path
) -> None:
    run("private-manifest", PEOPLE, months=[JANUARY])
    found = manifest(bucket, PEOPLE, JANUARY)
    hash_ = f"hashed with HMAC-SHA-256, pepper {fingerprint(PEPPER)}"
    assert found.columns == (
        Column("email", "text", "where we write to", hash_, "text"),
        Column("id", "integer"),
        Column("name", "text"),
        Column("phone", "text", None, "masked: last 4", "character varying(30)"),
        Column("zip", "text", None, "masked: first 3", "character(8)"),
        Column("mail", "text", None, "masked: domain of the e-mail address", "text"),
        Column("at", "date"),
        Column("ref", "text", None, hash_, "integer"),
    )
    assert found.left_out == ("ssn",)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_type_and_its_arrays_can_be_hashed(
    run: Run, source: psycopg.Connection[Any], bucket: Path, spark: SparkSession, form: str
) -> None:
    settle(source)
    for plain_table in type_tables.create(source, SCALARS):
        every = {kind.name: {"hash": True} for kind in type_tables.kinds(source, plain_table)}
        table = replace(plain_table, name=f"hashed_{plain_table.name}_{form}", format=form, columns=every)
        with type_tables.hostile_defaults(source):
            run(f"{table.name}-{form}", table)
        names = ", ".join(f"{type_tables.quoted(name)}::text" for name in every)
        plain = source.execute(f"SELECT id::text, {names} FROM {table.table}".encode()).fetchall()
        expected = {row[0]: tuple(map(hashed, row[1:])) for row in plain}
        assert _rows(source, bucket, spark, table, list(every)) == expected


def _rows(
    source: psycopg.Connection[Any], bucket: Path, spark: SparkSession, table: Table, names: list[str]
) -> dict[str, tuple[str | None, ...]]:
    """The columns `names` of all months, by id."""
    if table.format == "csv":
        read_back(source, bucket, table)
        columns = ", ".join(map(type_tables.quoted, names))
        found = source.execute(f"SELECT id, {columns} FROM {BACK.as_string()}".encode()).fetchall()
        return {row[0]: row[1:] for row in found}
    files = [str(bucket / file.key) for each in manifests(bucket, table).values() for file in each.files]
    frame = spark.read.parquet(*files).select("id", *(f"`{name}`" for name in names))
    return {str(row[0]): tuple(row)[1:] for row in frame.collect()}


def test_equal_values_have_equal_hashes_in_two_tables_and_in_all_months(
    run: Run, people: psycopg.Connection[Any], bucket: Path
) -> None:
    execute(people, "CREATE TABLE private.orders AS SELECT id, at AS placed, ref AS who FROM private.people")
    orders = Table("private_orders", "private.orders", "placed", "2024-01", columns={"who": {"hash": True}})
    run("private-two", PEOPLE, orders)
    found = []
    for table, column in ((PEOPLE, "ref"), (orders, "who")):
        read_back(people, bucket, table)
        query = f"SELECT {column} FROM {BACK.as_string()} WHERE id IN ('1', '4')"
        found += [row[0] for row in people.execute(query.encode()).fetchall()]
    assert found == [hashed("7")] * 4


def test_with_only_a_new_column_stays_in_the_database_until_somebody_names_it(
    run: Run, people: psycopg.Connection[Any], bucket: Path
) -> None:
    table = replace(PEOPLE, name="listed", columns={}, only=["at", "id"])
    execute(people, "ALTER TABLE private.people ADD COLUMN iban text DEFAULT 'DE02'")
    run("private-only", table, months=[FEBRUARY])
    found = manifest(bucket, table, FEBRUARY)
    [file] = found.files
    assert (bucket / file.key).read_text() == "id,at\n4,2024-02-01\n"
    assert found.left_out == ("email", "name", "ssn", "phone", "zip", "mail", "ref", "iban")
    run("private-named", replace(table, only=["at", "id", "iban"]), months=[FEBRUARY])
    [file] = manifest(bucket, table, FEBRUARY).files
    assert (bucket / file.key).read_text() == 'id,at,iban\n4,2024-02-01,"DE02"\n'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"mail2": {"drop": True}}}, "people: private.people has no column mail2, named in `columns`: fix"),
        ({"only": ["at", "idd"], "columns": {}}, "people: private.people has no column idd, named in `only`: fix tab"),
        ({"columns": {"tags": {"mask": {"last": 1}}}}, r"column tags is text\[\], and mask needs a single value: fix"),
    ],
)
def test_an_entry_that_does_not_fit_the_table_is_refused(
    run: Run, people: psycopg.Connection[Any], changes: dict[str, Any], message: str
) -> None:
    execute(people, "ALTER TABLE private.people ADD COLUMN tags text[]")
    with pytest.raises(IngestionError, match=message):
        run("private-unfit", replace(PEOPLE, **changes))


@pytest.fixture
def ingested(spark: SparkSession, lake: Lake) -> Callable[..., None]:
    """Ingest people from a database with a pepper of the test's choice."""

    def ingested(execution: str, database: Database, table: Table = PEOPLE, *, refresh: bool = False) -> None:
        with (
            Locks.taken(spark, database, execution, [lock_key(lake.bucket, table.name)]) as locks,
            Source.connect(spark, database, execution) as source,
        ):
            ingest(spark, source, locks, lake, [TableRequest(table, None, refresh)])

    return ingested


def test_without_a_pepper_nothing_is_read_and_the_error_says_what_to_do(
    ingested: Callable[..., None], database: Database, people: psycopg.Connection[Any], bucket: Path
) -> None:
    table = replace(PEOPLE, name="unpeppered")
    with pytest.raises(IngestionError) as error:
        ingested("unpeppered", replace(database, pepper=""), table)
    assert str(error.value) == (
        "1 of 1 table failed: unpeppered: email, ref cannot be hashed, because the database secret has no"
        " PII_PEPPER: make one with `python -m aws_setup secret --new-pepper`"
    )
    assert manifests(bucket, table) == {}


def test_after_a_rotation_of_the_pepper_a_refresh_hashes_every_month_again(
    ingested: Callable[..., None], database: Database, people: psycopg.Connection[Any], bucket: Path
) -> None:
    ingested("first", database)
    ingested("same", database, refresh=True)
    assert {each.execution for each in manifests(bucket, PEOPLE).values()} == {"first"}
    rotated = replace(database, pepper="1e" * 32)
    ingested("rotated", rotated, refresh=True)
    found = Refresh.from_json((bucket / layout.refresh_key("rotated", PEOPLE.name)).read_text())
    assert set(found.changed.values()) == {"the pepper of the hashed columns"}
    assert {each.execution for each in manifests(bucket, PEOPLE).values()} == {"rotated"}
    read_back(people, bucket, PEOPLE)
    hashes = people.execute(f"SELECT ref FROM {BACK.as_string()} WHERE id = '1'".encode()).fetchall()
    assert hashes == [(hashed("7", rotated.pepper),)]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"hash": True}, "entry in tables.yaml"),
        ({"mask": {"last": 4}}, "entry in tables.yaml"),
        ({"drop": True}, "columns"),
    ],
)
def test_another_treatment_is_a_reason_to_ingest_again(
    ingested: Callable[..., None],
    database: Database,
    people: psycopg.Connection[Any],
    bucket: Path,
    option: dict[str, Any],
    reason: str,
) -> None:
    plain = replace(PEOPLE, name="retreated", columns={})
    ingested("plain", database, plain)
    ingested("hidden", database, replace(plain, columns={"email": option}), refresh=True)
    found = Refresh.from_json((bucket / layout.refresh_key("hidden", plain.name)).read_text())
    assert set(found.changed.values()) == {reason}


def test_a_new_column_that_stays_in_the_database_is_no_reason_to_ingest(
    ingested: Callable[..., None], database: Database, people: psycopg.Connection[Any], bucket: Path
) -> None:
    listed = replace(PEOPLE, name="unmoved", columns={}, only=["at", "id", "email"])
    ingested("first", replace(database, pepper=""), listed)
    execute(people, "ALTER TABLE private.people ADD COLUMN iban text, ADD COLUMN born date DEFAULT '2000-01-01'")
    kept = replace(listed, columns={"email": {"keep": True}})
    ingested("later", replace(database, pepper="1e" * 32), kept, refresh=True)
    assert {each.execution for each in manifests(bucket, listed).values()} == {"first"}
