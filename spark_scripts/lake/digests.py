"""The hashes of rows, and their sums by month, as Spark computes them while it writes.

`spark_scripts/contract/content.py` says what they are for; `ingest_assets/aws/content.py` computes the same in Python.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import StructField

_FLOATING = ("float", "double")


def of_line(line: str) -> Column:
    """The hash of the text in the column `line`."""
    return F.xxhash64(F.col(line))


def of_physical_lines(line: str) -> Column:
    """The sum of the hashes of the lines that a reader finds in the text which splits it at every line feed."""
    hashes = F.aggregate(F.split(F.col(line), "\n"), F.lit(0).cast("long"), lambda total, one: total + F.xxhash64(one))
    return F.when(F.contains(F.col(line), F.lit("\n")), hashes).otherwise(of_line(line))


def of_values(fields: Sequence[StructField]) -> Column:
    """The hash of a row's values.

    Each value follows its column's number, because `xxhash64` passes over NULL: else NULL and 'a' would be the same as
    'a' and NULL. It takes -0.0 for 0.0, so a zero's text follows it.
    """
    values = []
    for index, field in enumerate(fields):
        value = F.col(quoted(field.name))
        values += [F.lit(index), value]
        if field.dataType.typeName() in _FLOATING:
            values.append(F.when(value == 0, value.cast("string")))
    return F.xxhash64(*values)


def of_text(text: str) -> Column:
    """The hash of a constant, as an aggregate; NULL without rows."""
    return F.max(F.xxhash64(F.lit(text)))


def sums_by_day(hashes: Column, day: str, days: Sequence[int]) -> Column:
    """The sum of the hashes for each of the `days`, as JSON: an aggregate without grouping, as an Observation needs it.

    A hash is computed for the day of its row only. Sums wrap round, which spark.sql.ansi.enabled would refuse.
    """
    of_row = F.col(quoted(day))
    return F.to_json(F.array(*(F.sum(F.when(of_row == each, hashes).otherwise(0)) for each in days)))


def sums(text: str, days: Sequence[int]) -> dict[int, int]:
    """The result of `sums_by_day`."""
    return {day: found or 0 for day, found in zip(days, json.loads(text))}


def quoted(name: str) -> str:
    """A column's name as Spark's functions take it."""
    return "`" + name.replace("`", "``") + "`"
