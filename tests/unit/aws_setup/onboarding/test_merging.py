from __future__ import annotations

import os
from pathlib import Path

import pytest

from aws_setup.errors import UsageError
from aws_setup.onboarding.merging import append, existing_entries, write_new
from ingest_assets.tables import TablesError, load_tables

ENTRY = "# about b\n- table: public.b\n  date_column: at\n  first_month: 2024-01\n  # timezone: UTC\n"
ALSO = ENTRY.replace("public.b", "public.c")


@pytest.mark.parametrize(
    "before",
    [
        "- {table: public.a, date_column: at, first_month: 2024-01}   # flow\n",
        "# head\n\n-   table: 'public.a'\n    date_column: \"at\"\n    first_month: 2024-01\n\n\n# foot  \n",
        "  - table: public.a\n    date_column: at\n    first_month: 2024-01",
        "- table: public.a\r\n  date_column: at\r\n  first_month: 2024-01\r\n",
        "\ufeff- table: public.a\n  date_column: at\n  first_month: 2024-01\n",
        "---\n- &a\n  table: public.a\n  date_column: at\n  first_month: 2024-01\n",
    ],
)
def test_every_byte_stays_and_the_entries_come_after_the_last_one(tmp_path: Path, before: str) -> None:
    file = tmp_path / "tables.yaml"
    file.write_bytes(before.encode())
    append(file, [ENTRY, ALSO])
    after = file.read_bytes()
    assert after.startswith(before.encode())
    assert [entry.table for entry in load_tables(file)] == ["public.a", "public.b", "public.c"]
    if "\r" in before:
        assert after.count(b"\n") == after.count(b"\r\n")


@pytest.mark.parametrize("before", [None, "", "# only a comment\n"])
def test_a_file_without_entries_gets_its_first(tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "tables.yaml"
    if before is not None:
        file.write_text(before)
    assert existing_entries(file) == ()
    append(file, [ENTRY])
    assert file.read_text().startswith(before or "# about b")
    assert [entry.table for entry in existing_entries(file)] == ["public.b"]


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("[{table: public.a, date_column: at, first_month: 2024-01}]\n", "is a list in brackets: begin each entry on"),
        ("- table: public.a\n  date_column: at\n  first_month: 2024-01\n...\n", "nothing was written: .*is not YAML"),
        ("- table: sales.b\n  date_column: at\n  first_month: 2024-01\n", "nothing was written: .*the name 'b'"),
    ],
)
def test_what_would_not_be_valid_is_not_written(tmp_path: Path, before: str, message: str) -> None:
    file = tmp_path / "tables.yaml"
    file.write_text(before)
    with pytest.raises((UsageError, TablesError), match=message) as refused:
        append(file, [ENTRY])
    assert str(refused.value).count(str(file)) == 1
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_wrong_file_is_refused_before_anything_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "tables.yaml"
    file.write_text("- table: nonsense\n")
    with pytest.raises(TablesError, match="'nonsense' is not the name of a table"):
        existing_entries(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        existing_entries(file)


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "tables.yaml"
    link.symlink_to(tmp_path / "real" / "tables.yaml")
    (tmp_path / "real" / "tables.yaml").write_text("# ours\n")
    append(link, [ENTRY])
    assert link.is_symlink()
    assert len(load_tables(tmp_path / "real" / "tables.yaml")) == 1


def test_a_new_file_has_the_rights_of_the_umask_and_an_old_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    mask = os.umask(0o027)
    try:
        write_new(file, ENTRY)
    finally:
        os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o640
    with pytest.raises(UsageError, match="exists: give another file"):
        write_new(file, ALSO)
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        write_new(tmp_path / "nowhere" / "new.yaml", ENTRY)
