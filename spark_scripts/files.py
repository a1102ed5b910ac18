"""What Spark reads from PostgreSQL and writes into staging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts import sql
from spark_scripts.connection import DRIVER
from spark_scripts.source import relation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_scripts.source import Source
    from spark_scripts.tables import Table

FETCH_SIZE = 10_000
"""Rows that a reader fetches at a time. 0, pgjdbc's default, would read a whole slice into memory."""

SESSION = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # columns that differ only in case
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",  # no shift of dates before 1582-10-15
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}

_CSV = {
    "header": "true",
    "encoding": "UTF-8",
    "quote": '"',
    "escape": '"',  # RFC 4180 doubles a quote; Spark's default is a backslash
    "nullValue": "",
    "emptyValue": '""',
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
}


def read(
    spark: SparkSession,
    source: Source,
    table: Table,
    projections: Sequence[sql.Projection],
    conditions: list[str],
) -> DataFrame:
    """The rows that meet any of `conditions`, a task for each, all under the source's snapshot."""
    query = sql.select(relation(table.table), projections, table.date_column)
    frame = spark.read.jdbc(
        source.database.url,
        f"({query}) AS source",
        predicates=conditions,
        properties={
            **source.database.properties(source.execution),
            "driver": DRIVER,
            "fetchsize": str(FETCH_SIZE),
            "sessionInitStatement": sql.session_init(source.snapshot),
        },
    )
    named = [_column(index, projection).alias(projection.name) for index, projection in enumerate(projections)]
    return frame.select(*named)


def _column(index: int, projection: sql.Projection) -> Any:
    return F.expr((projection.spark_expression or "{}").format(f"c{index}"))


def write(frame: DataFrame, table: Table, uri: str) -> int:
    """Write `frame` to the folder `uri` in the table's format, and return the rows that went through."""
    written = Observation()
    writer = frame.observe(written, F.count(F.lit(1)).alias("rows")).write.mode("overwrite")
    if table.compression:
        writer = writer.option("compression", table.compression)
    if table.format == "csv":
        writer.options(**_CSV).csv(uri)
    else:
        writer.parquet(uri)
    rows: int = written.get["rows"]
    return rows


def count_back(spark: SparkSession, table: Table, uri: str) -> int:
    """Read the files in the folder `uri` back and count their rows."""
    reader = spark.read.options(**_CSV, multiLine="true", mode="FAILFAST") if table.format == "csv" else spark.read
    frame: DataFrame = reader.format(table.format).load(uri)
    # Spark counts CSV records without parsing them unless a column is asked for.
    rows = frame.select(F.count(F.struct(*(F.col(_quoted(name)) for name in frame.columns))).alias("rows"))
    return int(rows.collect()[0]["rows"])


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
