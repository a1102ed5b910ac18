"""What a contestant wrote, counted, so that nobody wins by writing less."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1 << 24
_ALL_BUT_QUOTES_AND_NEWLINES = bytes(set(range(256)) - set(b'"\n'))


def csv_records(files: Iterable[Path], *, backslash: bool = False) -> int:
    """The data records of CSV files with a header each: newlines outside quotes, less the headers.

    `backslash` says that a quote within a value is written with one before it, as by the seed's job, and not doubled.
    """
    return sum(_newlines_outside_quotes(file, backslash) - 1 for file in files)


def _newlines_outside_quotes(file: Path, backslash: bool) -> int:
    count, inside, rest = 0, False, b""
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            chunk = rest + chunk
            rest = b"\\" if backslash and chunk.endswith(b"\\") else b""
            chunk = chunk[: len(chunk) - len(rest)]
            if backslash:
                chunk = chunk.replace(b'\\"', b"")
            # A quote within a value is two: they open and close, so that only the number before a newline matters.
            marks = chunk.translate(None, _ALL_BUT_QUOTES_AND_NEWLINES).replace(b'""', b"")
            parts = marks.split(b'"')
            count += sum(len(part) for part in parts[1 if inside else 0 :: 2])
            inside ^= len(parts) % 2 == 0
    return count
