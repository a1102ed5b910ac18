from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.tables import TablesError, TableSpec, check_deployed, load_tables
from spark_scripts.contract.tables import Table, tables_to_json

GOOD = "{table: public.orders, date_column: placed_at, first_month: 2024-01}"


def load(tmp_path: Path, *entries: str) -> tuple[TableSpec, ...]:
    path = tmp_path / "tables.yaml"
    path.write_text("\n".join(f"- {entry}" for entry in entries))
    return load_tables(path)


def with_key(text: str) -> str:
    return GOOD.replace("}", f", {text}}}")


def test_the_packaged_tables_are_a_csv_in_utc_and_a_parquet_in_chicago() -> None:
    assert [table.to_table() for table in load_tables()] == [
        Table(
            name="mockrecord",
            table="public.mockrecord",
            date_column="start_date_time",
            first_month="2023-01",
            columns={"questions_list": {"join": ","}},
        ),
        Table(
            name="orders",
            table='sales."Orders"',
            date_column="placed_at",
            first_month="2023-01",
            timezone="America/Chicago",
            format="parquet",
        ),
    ]


def test_the_name_is_the_table_s_unless_given(tmp_path: Path) -> None:
    tables = load(tmp_path, GOOD, with_key("name: other"))
    assert [table.name for table in tables] == ["orders", "other"]


def test_the_source_is_read_as_in_sql() -> None:
    by_name = {table.name: table.source for table in load_tables()}
    assert by_name == {"mockrecord": ("public", "mockrecord"), "orders": ("sales", "Orders")}


def test_ingest_tables_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"- {GOOD}")
    monkeypatch.setenv("INGEST_TABLES", str(path))
    assert [table.name for table in load_tables()] == ["orders"]


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (with_key("tabel: x"), r"entry 1 \(public.orders\): tabel: unknown key: use one of name, table, "),
        (
            "{table: public.orders, first_month: 2024-01}",
            r"\(public.orders\): date_column: the key is missing: add it$",
        ),
        ("{date_column: d, first_month: 2024-01}", r"entry 1: table: the key is missing: add it$"),
        (GOOD.replace("2024-01", "2024-13"), r"first_month: '2024-13' is not a month: write .* as in '2024-02'"),
        (GOOD.replace("2024-01", "2024-01-01"), r"first_month: must be a text, not 2024-01-01: put it in quotes"),
        (GOOD.replace("2024-01", "0024-01"), r"first_month: '0024-01' is too early"),
        (with_key("timezone: Mars/Base"), r"timezone: 'Mars/Base' is not an IANA time zone"),
        (GOOD.replace("public.orders", "orders"), r"table: 'orders' is not the name of a table: write schema.table"),
        (GOOD.replace("public.orders", "db.public.orders"), r"table: 'db.public.orders' is not the name of a table"),
        (
            GOOD.replace("public.orders", "'public.\"we ird\"'"),
            r"'we ird' cannot name an asset and a folder: set `name`",
        ),
        (with_key("columns: {c: {hash: false}}"), r"columns.c.hash: must be true: delete it otherwise$"),
        (with_key("columns: {c: {hash: true, join: x}}"), r"columns.c: must have one of join, .*, not join and hash$"),
        (
            with_key("columns: {c: {}}"),
            r"columns.c: must have one of join, keep, drop, hash, mask, as in `{hash: true}`$",
        ),
        (
            with_key("columns: {c: {hsh: true}}"),
            r"columns.c.hsh: unknown key: use one of join, keep, drop, hash, mask$",
        ),
        (
            with_key("columns: {c: {mask: {lst: 4}}}"),
            r"columns.c.mask.lst: unknown key: use one of first, last, domain$",
        ),
        (
            with_key("columns: {c: {mask: {last: 0}}}"),
            r"columns.c.mask.last: input should be greater than or equal to 1",
        ),
        (with_key("columns: {c: {mask: {last: 1, first: 1}}}"), r"c.mask: must have one of .*, not first and last$"),
        *(
            (
                with_key(f"columns: {{placed_at: {option}}}"),
                r"columns: placed_at is the date_column, which .* only be kept$",
            )
            for option in ("{drop: true}", "{hash: true}", "{mask: {first: 4}}")
        ),
        (with_key("only: []"), r"only: must not be empty$"),
        (with_key("only: [id]"), r"only: must name placed_at too, because the date_column decides the months$"),
        (with_key("only: [placed_at, id, id]"), r"only: names id twice$"),
        (
            with_key("only: [placed_at, id], columns: {email: {hash: true}}"),
            r"columns: email stays in the database, because `only` does not name it: delete it here, or add it there$",
        ),
        (with_key("name: a/b"), r"\(a/b\): name: 'a/b' cannot name an asset and a folder"),
        (with_key("name: _staging"), r"name: '_staging' cannot name an asset and a folder"),
        (with_key("format: orc"), r"format: input should be 'csv' or 'parquet', not 'orc'"),
        (with_key("compression: zip"), r"compression: 'zip' is not for csv: use one of gzip, bzip2, deflate"),
        (
            with_key("format: parquet, compression: bzip2"),
            r"compression: 'bzip2' is not for parquet: use one of snappy",
        ),
        (with_key("verify: full"), r"verify: full is now verify: content"),
        (with_key("verify: never"), r"verify: input should be 'count' or 'content', not 'never'"),
        (with_key("columns: {a: {join: ';', jion: ','}}"), r"columns.a.jion: unknown key: use one of join"),
        (with_key("columns: {a: {join: ''}}"), r"columns.a.join: must not be empty"),
        (with_key("columns: {a: 1}"), r"columns.a: must be a mapping of keys to values, not 1"),
        (with_key("columns: [a]"), r"columns: must be a mapping of keys to values, not \['a'\]"),
        (with_key("owners: [me]"), r"owners: 'me' is neither an e-mail address nor of the form team:name"),
        (
            with_key("timezone: localtime"),
            r"timezone: 'localtime' does not mean the same zone on every machine: write it as",
        ),
        (with_key("timezone: Factory"), r"timezone: 'Factory' does not mean the same zone on every machine"),
        (with_key("table: public.x"), r"is not YAML: line 1: the key 'table' appears twice"),
        (with_key("? [a, b] : c"), r"is not YAML: line 1: a key must be a single text, not a list or a mapping"),
        (with_key("columns: {? {a: b} : {join: x}}"), r"is not YAML: line 1: a key must be a single text"),
        (GOOD.replace("2024-01", "2024-13-01"), r"is not YAML: line 1: '2024-13-01' cannot be read as a value"),
        (with_key("slices: !!int ''"), r"is not YAML: line 1: '' cannot be read as a value"),
        ("{table: \x07}", r"is not YAML: .*special characters are not allowed"),
        ("public.orders", r"entry 1: must be a mapping of keys to values, not 'public.orders'"),
        ("{table: [", r"is not YAML"),
    ],
)
def test_a_bad_entry_is_an_error_that_names_file_entry_and_key(tmp_path: Path, entry: str, error: str) -> None:
    with pytest.raises(TablesError, match=error) as raised:
        load(tmp_path, entry)
    text = str(raised.value)
    assert text.startswith(f"{tmp_path / 'tables.yaml'}: ")
    assert len(text.splitlines()) == 1


def test_every_wrong_thing_is_a_line_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(TablesError) as raised:
        load(tmp_path, with_key("a: 1, b: 2"), with_key("name: x y"))
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("second", ["{table: sales.orders", "{name: ORDERS, table: sales.x"])
def test_a_name_can_stand_only_once_in_any_case(tmp_path: Path, second: str) -> None:
    entry = f"{second}, date_column: d, first_month: 2024-01}}"
    with pytest.raises(TablesError, match=r"is taken by public.orders: give one of them another `name`"):
        load(tmp_path, GOOD, entry)


@pytest.mark.parametrize("content", ["", "[]", "tables: []"])
def test_a_file_without_a_list_of_tables_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tables.yaml"
    path.write_text(content)
    with pytest.raises(TablesError, match=r"must be a list of tables: begin each with `- table: schema.table`"):
        load_tables(path)


def test_a_missing_file_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(TablesError, match=r"none.yaml: cannot be read \(No such file .*: check INGEST_TABLES"):
        load_tables(tmp_path / "none.yaml")


def test_what_was_deployed_is_accepted_whatever_only_dagster_shows(tmp_path: Path) -> None:
    [deployed] = load(tmp_path, GOOD)
    [described] = load(tmp_path, with_key("description: Orders., owners: ['team:shop', me@example.com]"))
    check_deployed([described], tables_to_json([deployed.to_table()]))
    assert described.owners == ["team:shop", "me@example.com"]


def test_a_change_that_was_not_deployed_is_refused_by_name(tmp_path: Path) -> None:
    deployed = tables_to_json(table.to_table() for table in load(tmp_path, GOOD, with_key("name: gone")))
    changed = load(tmp_path, with_key("format: parquet"), with_key("name: new"))
    with pytest.raises(TablesError, match=r"\(gone, new, orders\): on AWS run `python -m aws_setup deploy`"):
        check_deployed(changed, deployed)


def test_the_job_gets_what_an_entry_says_about_its_columns(tmp_path: Path) -> None:
    columns = (
        "a: {hash: true}, b: {mask: {last: 4}}, c: {drop: true}, d: {mask: {domain: true}}, placed_at: {keep: true}"
    )
    [table] = load(tmp_path, with_key(f"columns: {{{columns}}}"))
    assert table.to_table().columns == {
        "a": {"hash": True},
        "b": {"mask": {"last": 4}},
        "c": {"drop": True},
        "d": {"mask": {"domain": True}},
        "placed_at": {"keep": True},
    }
    [table] = load(tmp_path, with_key("only: [placed_at, id]"))
    check_deployed([table], tables_to_json([table.to_table()]))
    assert table.to_table().only == ["placed_at", "id"]
