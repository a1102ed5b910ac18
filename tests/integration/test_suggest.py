"""From a database to entries that the job ingests: on databases that people know, and on the sample of the account."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aws_setup.cli import main
from ingest_assets.tables import TableSpec, load_tables
from spark_scripts.contract.database import Database
from spark_scripts.contract.months import Month
from tests.integration.conftest import ROOT, Account
from tests.integration.published import Run
from tests.integration.servers import Server, database_of
from tests.integration.suggesting import databases, dsn_of, suggest
from tests.integration.whole import differing, manifests, settle

Capture = pytest.CaptureFixture[str]

EXPECTED = {
    "chinook": {
        "public.employee": ("hire_date", "2002-10"),
        "public.invoice": ("invoice_date", "2009-01"),
    },
    "northwind": {
        'archive."Orders"': ("order_date", "1994-01"),
        'public."Employees"': ("HireDate", "1992-06"),
        'public."Orders"': ("OrderDate", "1996-07"),
        'public."Orders Qry"': ("OrderDate", "1996-07"),
    },
    "pagila": {
        "public.category": ("last_update", "2022-02"),
        "public.customer": ("create_date", "2022-01"),
        "public.customer_list": ("create_date", "2022-01"),
        "public.film": ("last_update", "2022-09"),
        "public.payment": ("payment_date", "2022-01"),
        "public.rental": ("rental_date", "2022-01"),
        "public.rental_by_day": ("day", "2022-01"),
        "public.staff": ("last_update", "2022-02"),
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with databases(*EXPECTED) as server:
        yield server


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> Database:
    """The source that `run` ingests from, in place of the account's."""
    name = getattr(request, "param", "postgres")
    return database_of(dsn_of(server, name))


def written(server: Server, name: str, folder: Path, *arguments: str) -> dict[str, TableSpec]:
    """The entries in the file that the command writes, by table."""
    file = folder / "new.yaml"
    assert main(["suggest", "--source-dsn", dsn_of(server, name), "--output", str(file), *arguments]) == 0
    return {entry.table: entry for entry in load_tables(file)}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("exact", [[], ["--exact"]])
def test_the_file_for_a_known_database_loads_and_has_the_dates_that_people_would_choose(
    server: Server, tmp_path: Path, name: str, exact: list[str]
) -> None:
    entries = written(server, name, tmp_path, *exact)
    assert {table: (entry.date_column, entry.first_month) for table, entry in entries.items()} == EXPECTED[name]


@pytest.mark.parametrize(
    ("database", "table"),
    [("chinook", "public.invoice"), ("northwind", 'public."Orders"'), ("pagila", "public.payment")],
    indirect=["database"],
)
def test_the_job_ingests_what_the_suggested_entry_says_and_slices_it_as_suggested(
    server: Server,
    database: Database,
    run: Run,
    bucket: Path,
    tmp_path: Path,
    capfd: Capture,
    table: str,
) -> None:
    entry = written(server, database.name, tmp_path)[table].to_table()
    file = (tmp_path / "new.yaml").read_text()
    run(f"suggested-{entry.name}", entry)
    with psycopg.connect(dsn_of(server, database.name), autocommit=True) as source:
        settle(source)
        assert differing(source, bucket, entry) == []
    assert min(manifests(bucket, entry)) == entry.first_month
    capfd.readouterr()
    run(f"again-{entry.name}", entry, months=[Month.parse(entry.first_month)])
    [way] = re.findall(
        rf"{entry.name}: (slices by \w+|few rows, which the driver reads itself)", capfd.readouterr().out
    )
    way = way.removeprefix("slices ") if way.startswith("slices") else "in one piece, by the driver"
    assert f"#   slices: a month {way} (" in file[file.index(f"# {table}:") :]


def test_a_customer_without_a_date_is_not_proposed_and_an_e_mail_in_an_invoice_is_seen(
    server: Server, capsys: Capture
) -> None:
    said = suggest(capsys, dsn_of(server, "chinook"))
    assert "#   contact: {hash: true}  # e-mail address" in said.entry("public.invoice")
    assert "#   email: {hash: true}  # e-mail address" in said.entry("public.employee")
    [reason] = re.findall(r"^Not proposed, (.*): public.album, public.artist, public.customer", said.report, re.M)
    assert reason == "no column of type date, timestamp or timestamptz, so the rows have no month"
    assert "# Not proposed, no column of type date" in said.file


def test_names_with_capitals_in_two_schemas_get_names_of_their_own(server: Server, tmp_path: Path) -> None:
    entries = written(server, "northwind", tmp_path)
    assert [entry.name for entry in entries.values()] == ["archive_orders", "Employees", "public_orders", "orders_qry"]


def test_accounts_cards_and_texts_that_athena_misreads_are_named(server: Server, capsys: Capture) -> None:
    said = suggest(capsys, dsn_of(server, "northwind"))
    archive, orders = said.entry('archive."Orders"'), said.entry('public."Orders"')
    for line in (
        "iban: {hash: true}  # bank account or payment card",
        "card: {hash: true}  # bank account or payment card",
        "login_token: {drop: true}  # password or token",
    ):
        assert line in archive
    assert "some dates are in 1900-01, probably to say that they are unknown" in archive
    assert "# format: parquet" in orders
    assert "Remark has both NULL and the empty text" in orders
    assert "Notes has line breaks" in said.entry('public."Employees"')
    assert "or ShippedDate (date, 1996-07 to 1998-04): is filled in later, 4% NULL" in orders
    assert "or RequiredDate" in orders
    assert said.entry('public."Orders Qry"').startswith('# public."Orders Qry": view, 830 rows')


def test_a_partitioned_table_is_one_entry_whose_figures_are_those_of_its_partitions(
    server: Server, capsys: Capture
) -> None:
    said = suggest(capsys, dsn_of(server, "pagila"), "--table", "public.payment", "--table", "public.film")
    payment = said.entry("public.payment")
    assert "payment: partitioned table, 3 partitions, about 3,101 rows" in payment
    assert "months 2022-01 to 2022-03, about 1,034 rows" in payment
    assert "payment_date (timestamp with time zone, 2022-01 to 2022-03)" in payment
    assert "NOT NULL, the" in payment
    assert "  # timezone: America/Chicago\n" in payment
    assert "This is the server's TimeZone." in re.sub(r"\n *# +", " ", payment)
    assert "rating (public.mpaa_rating), special_features (text[]), fulltext (tsvector)" in said.entry("public.film")
    assert "payment_p2022" not in suggest(capsys, dsn_of(server, "pagila")).file


def test_the_stacks_secret_leads_to_the_sample_tables_as_the_jobs_user(account: Account, capsys: Capture) -> None:
    assert main(["suggest"]) == 0
    said = capsys.readouterr()
    assert "- table: public.mockrecord\n  date_column: start_date_time\n  first_month: 2023-01\n" in said.out
    assert '- table: sales."Orders"\n  date_column: placed_at\n  first_month: 2023-01\n' in said.out
    assert re.search(r"^public.mockrecord +[\d,]+ +[\d.]+ MB  start_date_time  2023-01 to \d{4}-\d\d", said.err, re.M)
    assert "The user lacks rights" not in said.err


def test_the_dsn_comes_from_standard_input_and_only_the_file_goes_to_standard_output(
    server: Server, tmp_path: Path
) -> None:
    dsn = dsn_of(server, "chinook")
    command = [sys.executable, "-m", "aws_setup", "suggest", "--source-dsn", "-"]
    environ = {**os.environ, "INGEST_TABLES": str(tmp_path / "tables.yaml")}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, input=f"{dsn}\n", capture_output=True, text=True, check=True, timeout=60
    )
    (tmp_path / "tables.yaml").write_text(done.stdout)
    assert len(load_tables(tmp_path / "tables.yaml")) == 2
    assert done.stderr.startswith("table ")


def test_tables_yaml_gets_what_it_lacks_and_keeps_every_byte(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    file = tmp_path / "tables.yaml"
    before = (
        "# Ours.\n\n-   table:   'public.payment'   # the money\n    date_column: \"payment_date\"\n"
        "    first_month: 2022-02\n    owners: [ team:money ]\n# the end, without a line break"
    )
    file.write_text(before)
    file.chmod(0o640)
    monkeypatch.setenv("INGEST_TABLES", str(file))
    said = suggest(capsys, dsn_of(server, "pagila"), "--write")
    after = file.read_text()
    assert after.startswith(before)
    tables = [entry.table for entry in load_tables(file)]
    assert tables == ["public.payment", *(table for table in EXPECTED["pagila"] if table != "public.payment")]
    assert load_tables(file)[0].first_month == "2022-02"
    assert file.stat().st_mode & 0o777 == 0o640
    assert f"wrote 7 entries to {file}" in said.report
    assert said.file == ""
    again = suggest(capsys, dsn_of(server, "pagila"), "--write")
    assert again.code == 0
    assert "8 tables in tables.yaml already" in again.report
    assert file.read_text() == after
    assert [path.name for path in tmp_path.iterdir()] == ["tables.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schema", "shop"], "pagila has no schema 'shop': it has public"),
        (["--table", "public.films"], "pagila has no table public.films: did you mean public.film?"),
        (["--table", "public.zzz"], "pagila has no table public.zzz: write schema.table as in SQL"),
        (["--table", "films"], "'films' is not the name of a table: write schema.table as in SQL"),
        (["--table", "public.payment_p2022_01"], "public.payment_p2022_01 is a part of public.payment: give that"),
        (["--output", "/nowhere/new.yaml"], "/nowhere/new.yaml cannot be written: No such file or directory"),
        (["--output", __file__], f"{__file__} exists: give another file, or add to tables.yaml with --write"),
    ],
)
def test_bad_input_is_one_line(server: Server, capsys: Capture, arguments: list[str], message: str) -> None:
    said = suggest(capsys, dsn_of(server, "pagila"), *arguments)
    assert said.code == 2
    errors = [line for line in said.report.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {message}")


def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(server: Server, capsys: Capture) -> None:
    said = suggest(capsys, dsn_of(server, "no_such_one"))
    assert (said.code, said.file) == (2, "")
    [line] = said.report.splitlines()
    assert line.startswith("error: cannot connect to the source database: ")
    assert database_of(server.dsn).password not in line


def test_an_empty_database_is_one_line(server: Server, capsys: Capture) -> None:
    said = suggest(capsys, dsn_of(server, "postgres"))
    assert (said.code, said.report) == (2, "error: postgres has no tables or views\n")
