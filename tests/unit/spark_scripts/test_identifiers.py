from __future__ import annotations

import pytest

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import parse_table, quote


@pytest.mark.parametrize(
    ("text", "schema", "table"),
    [
        ("public.mockrecord", "public", "mockrecord"),
        ("Public.MockRecord", "public", "mockrecord"),
        ('sales."Orders"', "sales", "Orders"),
        ('"we""ird"."t.a"', 'we"ird', "t.a"),
        ('"a b"._x$1', "a b", "_x$1"),
        ("schéma.tÄble", "schéma", "tÄble"),
    ],
)
def test_a_table_is_read_as_postgresql_reads_it(text: str, schema: str, table: str) -> None:
    assert parse_table(text) == (schema, table)


@pytest.mark.parametrize(
    "text",
    ["", "orders", "a.b.c", ".a", "a.", "a..b", "1a.b", "a b.c", 'a."b', 'a.""', 'a."b"c', "a.b;", "a.b ", 'a."b\0"'],
)
def test_text_that_is_not_the_name_of_a_table_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is not the name of a table: write schema.table as in SQL"):
        parse_table(text)


def test_a_name_that_postgresql_would_truncate_is_refused() -> None:
    assert parse_table(f"a.{'x' * 63}")[1] == "x" * 63
    with pytest.raises(InvalidInputError, match=r"is longer than the 63 bytes"):
        parse_table(f"a.{'ä' * 32}")


@pytest.mark.parametrize("name", ["orders", "Orders", 'we"ird', "t.a", " "])
def test_a_quoted_name_is_read_back_as_it_was(name: str) -> None:
    assert parse_table(f"{quote(name)}.{quote(name)}") == (name, name)
