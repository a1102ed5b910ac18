"""Reading the gzipped logs that EMR Serverless writes to the bucket."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

_TAIL_BYTES = 64 * 1024  # held of a log, which can have gigabytes


def last_lines(gzipped: Iterable[bytes], count: int = 1000) -> list[str]:
    """The last lines of a gzip file, at most 64 KiB. A file that is still being written is read as far as it goes."""
    tail = b""
    for piece in _unzipped(gzipped):
        tail = (tail + piece)[-_TAIL_BYTES:]
    return tail.decode(errors="replace").splitlines()[-count:]


def first_lines(gzipped: Iterable[bytes]) -> list[str]:
    """The first lines of a gzip file, about 64 KiB."""
    head = b""
    for piece in _unzipped(gzipped):
        head += piece
        if len(head) > _TAIL_BYTES:
            break
    return head.decode(errors="replace").splitlines()


def _unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    reader = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        yield reader.decompress(chunk)
        while reader.eof and reader.unused_data:  # a file of several members, which writers that append produce
            rest = reader.unused_data
            reader = zlib.decompressobj(wbits=31)
            yield reader.decompress(rest)
