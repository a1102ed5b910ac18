"""The files of a manifest as one Arrow table, with the columns and the types of the table in PostgreSQL."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.reading.calendar import within_python
from ingest_assets.reading.types import kind_of
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.identifiers import text_column
from spark_scripts.contract.manifest import Column, File, Manifest

_READERS = 8  # files that are read at a time
_BLOCK = 1 << 30  # pyarrow refuses a row that does not fit a block; no row of PostgreSQL is larger
_DECOMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".deflate": zlib.decompress,
}


class ReplacedError(DataLakeError):
    """A file that a manifest lists is missing, or is not the one that it lists: the month was ingested again."""


class UnreadableError(DataLakeError):
    """A file is not what the job writes."""


def read_manifest(raw_layer: RawLayer, manifest: Manifest) -> pa.Table:
    """The rows of the manifest's files.

    Raises ReplacedError, UnreadableError, and AwsError when the bucket cannot be read.
    """
    if not manifest.files:
        return _typed(manifest, _texts(manifest.columns, []))
    with ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(lambda file: _read_file(raw_layer, manifest, file), manifest.files))
    return pa.concat_tables(found, promote_options="default")  # a file of Parquet may lack a column `…_text`


def _read_file(raw_layer: RawLayer, manifest: Manifest, file: File) -> pa.Table:
    content = raw_layer.content(file.key)
    if content is None or len(content) != file.bytes:
        what = "is missing" if content is None else f"has {len(content)} bytes instead of {file.bytes}"
        raise ReplacedError(f"{raw_layer.uri(file.key)} {what}")
    try:
        return _typed(manifest, _parsed(manifest, file.key, content))
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:  # the others are of the decompression
        text = " ".join(str(error).split())
        raise UnreadableError(f"{raw_layer.uri(file.key)} cannot be read: {text}: ingest the month again") from error


def _parsed(manifest: Manifest, key: str, content: bytes) -> pa.Table:
    if manifest.format == "parquet":
        return pq.read_table(pa.BufferReader(content))
    return _lines(manifest.columns, _decompressed(key, content))


def _decompressed(key: str, content: bytes) -> bytes:
    for suffix, decompress in _DECOMPRESS.items():
        if key.endswith(suffix):
            return decompress(content)
    return content


def _lines(columns: Iterable[Column], content: bytes) -> pa.Table:
    """The texts of a CSV file. A field without quotes and without text is NULL, a quoted one is the empty text.

    The header is read as a row, because a name may be what Arrow takes for another one, and an empty line is a row: the
    NULL of a table with a single column.
    """
    names = [column.name for column in columns]
    read = pcsv.read_csv(
        pa.BufferReader(content),
        pcsv.ReadOptions(autogenerate_column_names=True, block_size=min(len(content), _BLOCK)),
        pcsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pcsv.ConvertOptions(
            column_types={f"f{index}": pa.string() for index in range(len(names))},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    if read.num_columns != len(names):
        raise pa.ArrowInvalid(f"it has {read.num_columns} columns instead of {len(names)}")
    return _texts(columns, [column.slice(1) for column in read.columns])


def _texts(columns: Iterable[Column], arrays: list[pa.ChunkedArray]) -> pa.Table:
    names = [column.name for column in columns]
    return pa.table(arrays or [pa.chunked_array([], pa.string()) for _ in names], names=names)


def _typed(manifest: Manifest, found: pa.Table) -> pa.Table:
    """The columns in the types of PostgreSQL, and behind them for each the texts that its type has no value for."""
    read: dict[str, pa.ChunkedArray] = {}
    beside: dict[str, pa.ChunkedArray] = {}
    names = {column.name for column in manifest.columns}
    for column in manifest.columns:
        read[column.name], texts = _values(column, found.column(column.name))
        name = text_column(column.name, names)
        in_file = found.column(name) if name in found.column_names else None
        both = [each for each in (texts, in_file) if each is not None]
        if both:
            beside[name] = pc.coalesce(*both)
    return _table({**read, **beside})


def _table(columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    return pa.table(list(columns.values()), names=list(columns))


def _values(column: Column, found: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    if pa.types.is_temporal(found.type):
        return within_python(found)
    kind = kind_of(column.type) if pa.types.is_string(found.type) else None
    return kind.read(found) if kind else (found, None)
