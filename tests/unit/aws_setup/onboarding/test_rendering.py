from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aws_setup.onboarding.rendering import not_proposed_text, scalar, size_text
from aws_setup.onboarding.study import NotProposed
from ingest_assets.strict_yaml import StrictLoader, read_yaml
from tests.unit.aws_setup.onboarding.relations import relation

TEXTS = [
    *("no", "yes", "on", "null", "~", "true", "1e5", "0x10", "1_000", "12:30", "2024-01-05", "2024-01", "=", "<<", ""),
    *(
        "a: b",
        "a #b",
        "- a",
        "? a",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a]",
        "a,b",
        "'",
        '"',
        "'\"",
        "\\",
        ">",
        "|",
    ),
    *("line\nbreak", "tab\there", "\r", "naïve 名前", "😀", " padded ", "\x85", "\u2028", "\x01", "\ufeff", "x" * 300),
    *("word " * 60, 'sales."Order ""x"""', "---", "...", "# not a comment"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_from_the_reader_of_tables_yaml(tmp_path: Path, text: str) -> None:
    written = scalar(text)
    assert "\n" not in written
    assert yaml.load(f"- table: {written}\n", StrictLoader) == [{"table": text}]  # noqa: S506 (a SafeLoader)
    file = tmp_path / "tables.yaml"
    file.write_text(f"- columns:\n    {written}: {{hash: true}}  # why\n", encoding="utf-8")
    assert read_yaml(file) == [{"columns": {text: {"hash": True}}}]


def test_a_name_with_line_breaks_does_not_leave_its_comment() -> None:
    left_out = [NotProposed(relation(quoted='public."a\n- table: x\u2028y"'), "no reason")]
    assert not_proposed_text(left_out) == '# Not proposed, no reason: public."a\\n- table: x\\u2028y"\n'


def test_sizes_are_short() -> None:
    sizes = [0, 999, 1000, 98_304, 1_400_000, 12_345_678_901]
    assert [size_text(size) for size in sizes] == ["0 bytes", "999 bytes", "1.0 kB", "98 kB", "1.4 MB", "12 GB"]
