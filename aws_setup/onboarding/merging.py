"""Writing proposed entries to a file: a new one, or tables.yaml, of which every byte stays.

New entries are text after the last one. A YAML library that reads and writes the whole file (ruamel.yaml) keeps its
comments, but not its blanks, quotes and line ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from aws_setup.errors import UsageError
from ingest_assets.tables import TablesError, TableSpec, load_tables


def existing_entries(path: Path) -> tuple[TableSpec, ...]:
    """The entries of the file at `path`; none where there is no file, or one without entries.

    Raises TablesError when it is wrong, since nothing is to be added to a file that cannot be used.
    """
    if not path.exists():
        return ()
    lines = (line.strip() for line in _text(path).splitlines())
    return load_tables(path) if any(line and not line.startswith("#") for line in lines) else ()


def write_new(path: Path, text: str) -> None:
    """Write a file that did not exist. Raises UsageError when it exists, or cannot be written."""
    if path.exists():
        raise UsageError(f"{path} exists: give another file, or add to tables.yaml with --write")
    _replace(path, text)


def append(path: Path, entries: Sequence[str]) -> None:
    """Add the entries, each a block of lines, to the end of the file at `path`, or make it.

    Raises UsageError when the file is not a list in block style or cannot be written, TablesError when the result would
    not be valid. The file then stays as it was.
    """
    before = _text(path) if path.exists() else ""
    newline = "\r\n" if "\r\n" in before else "\n"
    indent = " " * _indent(path, before)
    blocks = ["".join(f"{indent}{line}\n" if line else "\n" for line in entry.splitlines()) for entry in entries]
    added = "\n".join(blocks).replace("\n", newline)
    gap = "" if not before else newline if before.endswith("\n") else 2 * newline
    _replace(path, before + gap + added)


def _indent(path: Path, text: str) -> int:
    """The column in which the entries of the list begin."""
    document = yaml.compose(text, yaml.SafeLoader)
    if document is None:
        return 0
    if not isinstance(document, yaml.SequenceNode) or document.flow_style:
        raise UsageError(f"{path} is a list in brackets: begin each entry on a line of its own with `- table: …` first")
    column: int = document.start_mark.column
    return column


def _text(path: Path) -> str:
    """The file's text with its line ends as they are."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error


def _replace(path: Path, text: str) -> None:
    """Put `text` into the file at once, if it is valid: whoever reads the file sees the old one or the new one."""
    target = path.resolve()  # of a symbolic link, the file that it leads to
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            new = Path(folder, target.name)
            with new.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            _check(new, path)
            if target.exists():
                new.chmod(target.stat().st_mode)
            new.replace(target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _check(new: Path, path: Path) -> None:
    """Raise TablesError, naming `path`, when the file that is to replace it is not valid."""
    try:
        load_tables(new)
    except TablesError as error:
        raise TablesError(f"nothing was written: {error}".replace(str(new), str(path))) from error
