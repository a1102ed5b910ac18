"""The digest of CSV files by Python: which changes it sees, and which it must not see."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from itertools import pairwise

import pytest

from ingest_assets.aws import content
from ingest_assets.aws.content import blocks, csv_content
from spark_scripts.contract.content import Content
from spark_scripts.contract.errors import DocumentError

HEADER = b'id,"a ""note"""\n'
ROWS = [b'1,"x"\n', b'2,"x\ny"\n', b"3,\n", b'4,""\n', b'5,"""\n"""\n']


def digest(*rows: bytes, header: bytes = HEADER) -> str:
    return str(csv_content([header, *rows]))


def test_the_order_of_rows_and_the_blocks_in_which_they_are_read_do_not_matter() -> None:
    whole = HEADER + b"".join(ROWS)
    assert digest(*reversed(ROWS)) == digest(*ROWS)
    assert csv_content(whole[at : at + 1] for at in range(len(whole))) == csv_content([whole])
    assert csv_content([whole]).rows == len(ROWS)


def test_every_flipped_bit_is_another_digest_or_a_damaged_file() -> None:
    whole = HEADER + b"".join(ROWS)
    seen = set()
    for at in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        try:
            seen.add(str(csv_content([bytes(changed)])))
        except EOFError:
            continue
    assert digest(*ROWS) not in seen
    assert len(seen) > len(whole)


@pytest.mark.parametrize(
    "others",
    [
        ROWS[1:],
        [*ROWS, ROWS[0]],
        [ROWS[0], *ROWS[:-1]],  # one doubled, another lost: as many
        [ROWS[0], ROWS[0], *ROWS[2:]],
        [b'1,"x\ny"\n', b'2,"x"\n', *ROWS[2:]],  # the same physical lines
    ],
)
def test_other_rows_have_another_digest(others: list[bytes]) -> None:
    assert digest(*others) != digest(*ROWS)


def test_equal_rows_count_as_often_as_there_are() -> None:
    found = [digest(*[ROWS[0]] * times) for times in range(5)]
    assert len(set(found)) == 5
    sums = [Content.of_text(text).sum for text in found]
    assert len({(after - before) % 2**64 for before, after in pairwise(sums)}) == 1


def test_an_empty_line_is_a_row_whose_only_column_is_null() -> None:
    assert csv_content([b"at\n\n\n2024-01-01\n"]).rows == 3
    assert digest(b"\n") != digest()


def test_another_header_is_another_digest() -> None:
    assert digest(*ROWS, header=b'id,"a ""nota"""\n') != digest(*ROWS)


@pytest.mark.parametrize("text", ["", "csv:1:2:3", "csv:1:0000000000000000:0000000000000000:", "orc:1:0:0"])
def test_a_digest_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="is of another release: use that release, or ingest the month again"):
        Content.of_text(text)


def test_a_digest_is_read_as_it_was_written() -> None:
    found = Content("parquet", 3, -1, -2)
    assert str(found) == "parquet:3:ffffffffffffffff:fffffffffffffffe"
    assert str(Content.of_text(str(found))) == str(found)


@pytest.mark.parametrize(
    ("name", "compress"),
    [("a.csv", bytes), ("a.csv.gz", gzip.compress), ("a.csv.bz2", bz2.compress), ("a.csv.deflate", zlib.compress)],
)
def test_a_file_is_decompressed_as_its_name_says(name: str, compress: type[bytes]) -> None:
    whole = HEADER + b"".join(ROWS) * 100_000
    assert str(csv_content(blocks(name, io.BytesIO(compress(whole))))) == digest(*ROWS * 100_000)


@pytest.mark.parametrize(
    ("name", "compress"), [("a.csv.gz", gzip.compress), ("a.csv.bz2", bz2.compress), ("a.csv.deflate", zlib.compress)]
)
def test_a_compressed_file_that_is_cut_off_is_damaged(name: str, compress: type[bytes]) -> None:
    whole = compress(HEADER + b"".join(ROWS))
    for length in range(1, len(whole)):
        with pytest.raises((EOFError, OSError, zlib.error)):
            csv_content(blocks(name, io.BytesIO(whole[:length])))


@pytest.mark.parametrize("ending", [b'6,"x\n', b"6"])
def test_a_file_that_ends_within_a_row_is_damaged(ending: bytes) -> None:
    with pytest.raises(EOFError, match="it ends within a"):
        digest(*ROWS, ending)


def test_a_line_longer_than_many_blocks_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_BLOCK", 10)
    long = b'1,"' + b"x" * 10_000 + b'"\n'
    assert str(csv_content(blocks("a.csv", io.BytesIO(HEADER + long)))) == digest(long)
