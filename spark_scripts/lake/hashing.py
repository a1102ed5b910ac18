"""The pepper beside each row, for the HMAC that `projections` writes in Spark's SQL.

A literal would stand in the plans, which Spark puts into its event log, its UI and its messages. So the pepper comes
as the one row of a broadcast RDD, whose content no plan shows, and which no rule of the optimizer folds into a literal.
A Python UDF would keep it out of the plans too. For two columns of 2,000,000 rows it took 8 s on two cores, this 2 s.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts.postgres.projections import INNER_PAD, OUTER_PAD

_BLOCK = 64
"""Bytes in a block of SHA-256. HMAC fills a key up to a block, and hashes a longer one first."""


def with_pads(frame: DataFrame, pepper: str) -> DataFrame:
    """`frame`, its rows in their order, with the columns of the pepper."""
    return frame.crossJoin(F.broadcast(_one_row(frame, *pads(pepper.encode()))))


def pads(key: bytes) -> tuple[bytes, bytes]:
    """The key as HMAC puts it before the inner and the outer hash."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _one_row(frame: DataFrame, inner: bytes, outer: bytes) -> DataFrame:
    """A frame of one row, made by the JVM: PySpark itself would write the values to a temporary file first."""
    spark = frame.sparkSession
    context: Any = spark.sparkContext
    values = context._gateway.new_array(context._jvm.java.lang.Object, 2)
    values[0], values[1] = bytearray(inner), bytearray(outer)
    rows = context._jvm.java.util.ArrayList()
    rows.add(context._jvm.org.apache.spark.sql.RowFactory.create(values))
    types: Any = context._jvm.org.apache.spark.sql.types
    schema = types.StructType().add(INNER_PAD, "binary", False).add(OUTER_PAD, "binary", False)
    return DataFrame(spark._jsparkSession.createDataFrame(context._jsc.parallelize(rows, 1), schema), spark)
