"""Dates and timestamps outside the years 1 to 9999, which Python's datetime does not have, as PostgreSQL writes them.

pandas cannot print a column with such a value, and DuckDB returns it as a text or not at all.
"""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

_EPOCH = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS = 146_097  # the Gregorian calendar repeats after 400 years
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND


def within_python(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
    """The values that Python's types have, and the texts of the others; None where there are no others."""
    first, last = pa.scalar(date.min), pa.scalar(date.max)
    if pa.types.is_timestamp(values.type):
        first, last = (pa.scalar(moment, pa.timestamp("us")) for moment in (datetime.min, datetime.max))
        first, last = (bound.cast(pa.int64()).cast(values.type) for bound in (first, last))
    inside = pc.and_(pc.greater_equal(values, first), pc.less_equal(values, last))
    if pc.all(inside).as_py() is not False:
        return values, None
    outside = pc.if_else(inside, pa.scalar(None, values.type), values)
    texts = [None if number is None else _text(number, values.type) for number in _numbers(outside)]
    return pc.if_else(inside, values, pa.scalar(None, values.type)), pa.chunked_array([texts], type=pa.string())


def _numbers(values: pa.ChunkedArray) -> list[int | None]:
    whole = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
    numbers: list[int | None] = values.cast(whole).to_pylist()
    return numbers


def _text(number: int, kind: pa.DataType) -> str:
    if pa.types.is_date32(kind):
        return "".join(_day(number))
    days, rest = divmod(number, _DAY)
    day, era = _day(days)
    seconds, fraction = divmod(rest, _SECOND)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = f".{fraction:06}".rstrip("0").rstrip(".")
    return f"{day} {clock}{digits}{'+00' if kind.tz else ''}{era}"


def _day(days: int) -> tuple[str, str]:
    """The day so many days after 1970-01-01, and its era."""
    cycles, rest = divmod(days + _EPOCH - 1, _DAYS_IN_400_YEARS)
    found = date.fromordinal(rest + 1)
    year = found.year + 400 * cycles
    return f"{year if year > 0 else 1 - year:04}-{found:%m-%d}", "" if year > 0 else " BC"
