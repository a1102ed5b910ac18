"""Whether the files of a month still hold what was ingested: without the source, and without Spark.

`spark_scripts/contract/content.py` describes the digest, and `spark_scripts/lake/digests.py` computes it in Spark.
"""

from __future__ import annotations

import bz2
import gzip
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Context
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from xxhash import xxh64_intdigest

from ingest_assets.aws.errors import aws_errors, error_code
from spark_scripts.contract.content import SEED, Content, typed_columns
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.months import UNDATED
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from ingest_assets.aws.raw_layer import RawLayer
    from spark_scripts.contract.manifest import File, Manifest

_BLOCK = 1 << 20
_BATCH_ROWS = 10_000
_EXACT = Context(prec=76)  # decimals of Parquet have up to 76 digits
_MISSING = {"NoSuchKey", "404"}


class DamagedFileError(DataLakeError):
    """A file cannot be read as what it was written as; the message names it."""


def differences(raw_layer: RawLayer, manifest: Manifest) -> list[str]:
    """What differs between the files of a month and its manifest, which has a digest; empty if nothing does.

    Reads every byte of the files. A month that is ingested meanwhile is compared with its new manifest. Raises AwsError
    when the bucket cannot be read, DocumentError when the digest is of another release.
    """
    found = _differences(raw_layer, manifest)
    undated = manifest.partition == UNDATED
    current = raw_layer.undated(manifest.table) if undated else raw_layer.current(manifest.table, manifest.month)
    if found and current and current.content and current.execution != manifest.execution:
        return differences(raw_layer, current)
    return found


def _differences(raw_layer: RawLayer, manifest: Manifest) -> list[str]:
    recorded = Content.of_text(manifest.content or "")
    rows, total, columns = 0, 0, 0
    damaged = []
    for file in manifest.files:
        try:
            found = content_of_file(raw_layer, manifest, file)
        except DamagedFileError as error:
            damaged.append(str(error))
            continue
        if columns not in (0, found.columns):
            damaged.append(f"{file.key} has other columns than the files before it")
        rows, total, columns = rows + found.rows, total + found.sum, found.columns
    held = Content(manifest.format, rows, total, columns if rows else 0)
    if damaged or str(held) == str(recorded):
        return damaged
    if rows != recorded.rows:
        return [f"the files hold {counted(rows, 'row')}, {recorded.rows:,} were ingested"]
    what = "rows" if held.columns == recorded.columns else "columns"
    return [f"the files hold other {what} than were ingested: {', '.join(file.key for file in manifest.files)}"]


def content_of_file(raw_layer: RawLayer, manifest: Manifest, file: File) -> Content:
    """The content of one file. Raises DamagedFileError and AwsError."""
    with aws_errors(f"reading {raw_layer.uri(file.key)}"):
        try:
            answer = raw_layer.client().get_object(Bucket=raw_layer.bucket_name(), Key=file.key)
        except ClientError as error:
            if error_code(error) in _MISSING:
                raise DamagedFileError(f"{file.key} is missing") from None
            raise
        if answer["ContentLength"] != file.bytes:
            raise DamagedFileError(f"{file.key} has {answer['ContentLength']:,} bytes, {file.bytes:,} were written")
        try:
            if manifest.format == "csv":
                return csv_content(blocks(file.key, answer["Body"]))
            columns = [(column.name, column.type) for column in manifest.file_columns]
            with tempfile.TemporaryFile() as copy:
                for block in answer["Body"].iter_chunks(_BLOCK):
                    copy.write(block)
                return parquet_content(copy, columns)
        except (EOFError, OSError, ValueError, zlib.error, pa.ArrowException) as error:
            raise DamagedFileError(f"{file.key} is damaged: {error}") from error


def blocks(key: str, body: Any) -> Iterator[bytes]:
    """The bytes of a CSV file, decompressed as its name says.

    Raises EOFError, OSError or zlib.error when it is damaged.
    """
    if key.endswith(".deflate"):  # Hadoop's name for zlib
        yield from _inflated(body)
        return
    file: Any = body
    if key.endswith(".gz"):
        file = gzip.GzipFile(fileobj=body)
    elif key.endswith(".bz2"):
        file = bz2.BZ2File(body)
    while block := file.read(_BLOCK):
        yield block


def _inflated(body: Any) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    while block := body.read(_BLOCK):
        yield inflater.decompress(block)
    yield inflater.flush()
    if not inflater.eof or inflater.unused_data:
        raise EOFError("the compressed data do not end with the file")


def csv_content(found: Iterable[bytes]) -> Content:
    """The content of a CSV file with its header. Raises EOFError when it ends within a row."""
    rows, total = -1, 0
    header = 0
    for record in _records(found):
        digest = xxh64_intdigest(record, SEED)
        if rows < 0:
            header = digest
        else:
            total += digest
        rows += 1
    return Content("csv", max(rows, 0), total, header)


def _records(found: Iterable[bytes]) -> Iterator[bytes]:
    """The rows of CSV, without the line feeds after them: a line feed within quotes does not end one."""
    begun: list[bytes] = []
    for line in _lines(found):
        odd = line.count(b'"') % 2
        if not begun and not odd:
            yield line
            continue
        begun.append(line)
        if odd and len(begun) > 1:
            yield b"\n".join(begun)
            begun = []
    if begun:
        raise EOFError("it ends within a quoted value")


def _lines(found: Iterable[bytes]) -> Iterator[bytes]:
    begun: list[bytes] = []
    for block in found:
        first, *more = block.split(b"\n")
        begun.append(first)
        if more:
            yield b"".join(begun)
            *whole, last = more
            yield from whole
            begun = [last]
    if any(begun):
        raise EOFError("it ends within a line")


def parquet_content(file: IO[bytes], columns: list[tuple[str, str]]) -> Content:
    """The content of a Parquet file that should have these `columns`, with Spark's types. Raises ValueError if not."""
    opened = pq.ParquetFile(file)
    names = opened.schema_arrow.names
    if names != [name for name, _ in columns]:
        raise ValueError(f"its columns are {', '.join(names)}")
    rows, total = 0, 0
    for batch in opened.iter_batches(_BATCH_ROWS):
        rows += batch.num_rows
        total += sum(_row_hashes(batch))
    return Content("parquet", rows, total, xxh64_intdigest(typed_columns(columns).encode(), SEED))


def _row_hashes(batch: pa.RecordBatch) -> list[int]:
    """The hashes of the rows, as `spark_scripts.lake.digests.of_values` has them: each hash is the seed of the next."""
    hashes = [SEED] * batch.num_rows
    for index, column in enumerate(batch.columns):
        number = struct.pack("<i", index)
        hashes = [xxh64_intdigest(number, seed) for seed in hashes]
        for values in _hashed_bytes(column):
            hashes = [
                seed if value is None else xxh64_intdigest(value, seed)
                for value, seed in zip(values, hashes, strict=True)
            ]
    return hashes


def _hashed_bytes(column: pa.Array) -> Iterator[list[bytes | None]]:
    """The bytes that Spark's xxhash64 takes of each value, None for NULL.

    Of floating numbers also those of a zero's text.
    """
    cast, to_bytes = _encoding(column.type)
    values = (column if cast is None else column.cast(cast)).to_pylist()
    yield [None if value is None else to_bytes(value) for value in values]
    if pa.types.is_floating(column.type):
        yield [str(value).encode() if value == 0 else None for value in values]


def _encoding(kind: pa.DataType) -> tuple[pa.DataType | None, Callable[[Any], bytes]]:
    """The type to read the values in, and how to make bytes of them."""
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pa.binary(), bytes
    if pa.types.is_decimal(kind):
        return None, _decimal_bytes(kind.precision, kind.scale)
    if pa.types.is_floating(kind):
        return None, partial(_floating_bytes, bits=kind.bit_width)
    if kind.bit_width <= _INT.size * 8:  # booleans and dates too
        return pa.int32(), _INT.pack
    return pa.int64(), _LONG.pack


_INT = struct.Struct("<i")
_LONG = struct.Struct("<q")
_FLOATING = {32: struct.Struct("<f"), 64: struct.Struct("<d")}
_NAN = {32: struct.pack("<I", 0x7FC00000), 64: struct.pack("<Q", 0x7FF8000000000000)}  # Java's only NaN
_LONG_DIGITS = 18  # Spark keeps decimals of so many digits in a long


def _decimal_bytes(precision: int, scale: int) -> Callable[[Any], bytes]:
    def to_bytes(value: Any) -> bytes:
        unscaled = int(value.scaleb(scale, _EXACT))
        if precision <= _LONG_DIGITS:
            return _LONG.pack(unscaled)
        bits = (unscaled if unscaled >= 0 else ~unscaled).bit_length()
        return unscaled.to_bytes(bits // 8 + 1, "big", signed=True)  # java.math.BigInteger.toByteArray

    return to_bytes


def _floating_bytes(value: float, bits: int) -> bytes:
    if value != value:  # NaN
        return _NAN[bits]
    return _FLOATING[bits].pack(value + 0.0)  # -0.0 + 0.0 is 0.0
