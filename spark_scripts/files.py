"""What Spark reads from PostgreSQL and writes into staging."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts.connection import DRIVER
from spark_scripts.sql import session_init

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_scripts.source import Source
    from spark_scripts.tables import Table

FETCH_SIZE = 10_000
"""Rows that a reader fetches at a time. 0, pgjdbc's default, would read a whole slice into memory."""

FETCH_FEWER = 20
"""By what the fetch size is divided when a fetch is larger than MAX_FETCH."""

MAX_FETCH = "64M"
"""The bytes of a fetch at which pgjdbc gives up (its property maxResultBuffer) before the heap does."""

SESSION = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # columns that differ only in case
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",  # no shift of dates before 1582-10-15
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.sql.optimizer.plannedWrite.enabled": "false",  # it sorts rows by month, which _OPEN_FILES makes needless
}

_OPEN_FILES = {"csv": "100", "parquet": "0"}
"""Files that a task may hold open, one for each month, before it sorts its rows by month.

A text file needs a small buffer; a Parquet file a whole row group, so there it always sorts.
"""

_CSV = {"header": "true", "encoding": "UTF-8", "quote": '"', "escape": '"', "nullValue": "", "emptyValue": ""}


_BINS = 1_000_000


def cores(spark: SparkSession) -> int:
    """How many tasks run at once: the cores there are, or on EMR those that the initial executors will have."""
    conf = spark.sparkContext.getConf()
    asked = int(conf.get("spark.executor.instances") or 0) * int(conf.get("spark.executor.cores") or 1)
    return max(spark.sparkContext.defaultParallelism, asked)


def read(spark: SparkSession, source: Source, query: str, predicates: Sequence[str], fetch_size: int) -> DataFrame:
    """The result of `query`, a task for each of the predicates, all under the source's snapshot.

    Spark and pgjdbc ask for the types first, with names that carry no schema (`WHERE 1=0`). Where the role's path has a
    schema before pg_catalog, sessions begin with pg_catalog first, and the readers then take the role's own path.
    """
    path = source.search_path
    return spark.read.jdbc(
        source.database.url,
        f"({query}) AS source",
        predicates=list(predicates),
        properties={
            **source.database.properties(source.execution),
            **({} if path is None else {"currentSchema": f"pg_catalog, {path}"}),
            "driver": DRIVER,
            "fetchsize": str(fetch_size),
            "maxResultBuffer": MAX_FETCH,
            "sessionInitStatement": session_init(source.snapshot, path),
        },
    )


def write(frame: DataFrame, table: Table, uri: str) -> Mapping[int, int]:
    """Write `frame` below `uri` into a folder for each value of its last column, which tells the month.

    Returns how many rows went through, by that value.
    """
    frame.sparkSession.conf.set("spark.sql.maxConcurrentOutputFileWriters", _OPEN_FILES[table.format])
    day = frame.columns[-1]
    written = Observation()
    # A histogram with more bins than there are values is exact: a bin for each value and task.
    rows_by_day = F.to_json(F.histogram_numeric(F.col(f"`{day}`"), F.lit(_BINS))).alias("rows_by_day")
    writer = frame.observe(written, rows_by_day).write.mode("overwrite").partitionBy(day)
    if table.compression:
        writer = writer.option("compression", table.compression)
    if table.format == "csv":
        writer.text(uri)  # lines that PostgreSQL has built
    else:
        writer.parquet(uri)
    rows: Counter[int] = Counter()
    for bin_ in json.loads(written.get["rows_by_day"] or "[]"):
        rows[int(bin_["x"])] += int(bin_["y"])
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
