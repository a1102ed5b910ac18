"""Rows that are too large: for one fetch, for the heap of the job, or for PostgreSQL itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract.errors import IngestionError
from spark_scripts.driver.jvm import JAVA_ERRORS, java_text
from spark_scripts.postgres.errors import SourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MAX_FETCH_EXCEEDED = "maxResultBuffer"  # the property of pgjdbc, which its message names

_POSTGRESQL = re.compile(
    r"invalid memory alloc request size \d+|Cannot enlarge string buffer|string buffer exceeds maximum allowed length"
    r"|requested length too large|array size exceeds the maximum allowed"
)
"""What PostgreSQL says about a text or a row of more than 1 GB (MaxAllocSize in its memutils.h)."""

_HEAP = re.compile(r"OutOfMemoryError|Ran out of memory|(?:exit|exited with) code:? (?:52|137)\b")
"""What Java, Spark and pgjdbc say when the heap is full.

An executor that ran out of heap exits with 52 (SparkExitCode.OOM), a killed one with 137.
"""


class RowTooLargeError(IngestionError):
    """A row is larger than the heap of the job or PostgreSQL itself allows."""


class HeapFullError(RowTooLargeError):
    """The heap is too small for the rows that are read at a time: those of other tables may be among them."""


def exceed_a_fetch(error: BaseException) -> bool:
    """Whether one of JAVA_ERRORS says that the rows of a fetch are larger than `spark_io.MAX_FETCH`."""
    return _MAX_FETCH_EXCEEDED in java_text(error)


@contextmanager
def explained(doing: str, spark: SparkSession) -> Iterator[None]:
    """Turn an error of Java or of PostgreSQL that a large row caused into a RowTooLargeError that says what to do."""
    try:
        yield
    except (*JAVA_ERRORS, SourceError) as error:
        found = _found(java_text(error), spark)
        if found is None:
            raise
        raise type(found)(f"{doing}: {found}") from error


def _found(text: str, spark: SparkSession) -> Optional[RowTooLargeError]:
    refused = _POSTGRESQL.search(text)
    if refused:
        return RowTooLargeError(
            f"a row is more than the 1 GB that PostgreSQL can build or send ({refused[0]}): name in tables.yaml a view"
            " that leaves the large column out, or cuts it into rows"
        )
    full = _HEAP.search(text)
    if full is None:
        return None
    role = "driver" if (spark.sparkContext.master or "").startswith("local[") else "executor"
    heap = spark.sparkContext.getConf().get(f"spark.{role}.memory", "1g")
    return HeapFullError(
        f"the {role}'s heap of {heap} is too small for the rows ({full[0]}): raise the stack's parameter"
        f" {role.capitalize()}Memory; the README says under Limits what a row needs"
    )
