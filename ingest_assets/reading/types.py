"""The Arrow type of each PostgreSQL type, and how Arrow reads the text that PostgreSQL writes for a value.

A value that the Arrow type or Python's types of the same name do not have, such as an infinite date, a date before year
1, NaN in a numeric or the time 24:00, has no place in a typed column: `Kind.read` returns its text beside the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_DECIMAL_DIGITS = 38  # of decimal128, the widest that polars and DuckDB have
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")
_TIMESTAMP = re.compile(r"timestamp(?:\(\d\))? with(out)? time zone")
_TIME = re.compile(r"time(?:\(\d\))? without time zone")

_CLOCK = r"([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?"
_DAY = r"\d{4}-\d\d-\d\d"
_WHOLE = r"-?\d+"


@dataclass(frozen=True)
class Kind:
    """An Arrow type. `regular` is the pattern (RE2) of the texts that `cast` reads; a column may have others."""

    type: pa.DataType
    regular: str
    cast: Callable[[pa.ChunkedArray, pa.DataType], pa.ChunkedArray]

    def read(self, texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """The values of the texts, and the texts that the type has no value for; None where it has all of them."""
        try:
            return self.cast(texts, self.type), None
        except pa.ArrowInvalid:  # looked for afterwards: most columns have none
            regular = pc.match_substring_regex(texts, f"^(?:{self.regular})$")
            nothing = pa.scalar(None, pa.string())
            values = self.cast(pc.if_else(regular, texts, nothing), self.type)
            return values, pc.if_else(regular, nothing, texts)


def kind_of(postgres: str) -> Kind | None:
    """The Arrow type for a PostgreSQL type, as `format_type` writes it; None where a column of it stays text."""
    if known := _KINDS.get(postgres):
        return known
    if numeric := _NUMERIC.fullmatch(postgres):
        precision, scale = int(numeric[1]), int(numeric[2])
        fits = precision <= _DECIMAL_DIGITS and 0 <= scale <= precision
        return Kind(pa.decimal128(precision, scale), r"-?\d+(\.\d+)?", _cast) if fits else None
    if timestamp := _TIMESTAMP.fullmatch(postgres):
        moment = f"{_DAY} {_CLOCK}"
        return Kind(pa.timestamp("us"), moment, _cast) if timestamp[1] else Kind(_INSTANT, rf"{moment}\+00", _cast)
    return Kind(pa.time64("us"), _CLOCK, _cast_time) if _TIME.fullmatch(postgres) else None


def _cast(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return texts.cast(kind)


def _cast_time(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Arrow reads no time of day, so that each gets a day before it."""
    moments = pc.binary_join_element_wise(pa.scalar("1970-01-01"), texts, " ").cast(pa.timestamp("us"))
    return moments.cast(pa.int64()).cast(kind)


def _cast_bytes(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The bytes whose hexadecimal digits PostgreSQL writes."""
    decoded = [[_bytes(text) for text in chunk.to_pylist()] for chunk in texts.chunks]
    return pa.chunked_array(decoded, type=kind)


def _bytes(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return bytes.fromhex(text.removeprefix("\\x"))
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from error


_INSTANT = pa.timestamp("us", "UTC")
_FLOAT = r"-?(\d+(\.\d+)?(e[+-]?\d+)?|Infinity)|NaN"
_KINDS = {
    "smallint": Kind(pa.int16(), _WHOLE, _cast),
    "integer": Kind(pa.int32(), _WHOLE, _cast),
    "bigint": Kind(pa.int64(), _WHOLE, _cast),
    "oid": Kind(pa.uint32(), _WHOLE, _cast),
    "real": Kind(pa.float32(), _FLOAT, _cast),
    "double precision": Kind(pa.float64(), _FLOAT, _cast),
    "boolean": Kind(pa.bool_(), "true|false", _cast),
    "date": Kind(pa.date32(), _DAY, _cast),
    "bytea": Kind(pa.binary(), r"\\x([0-9a-f]{2})*", _cast_bytes),
}
