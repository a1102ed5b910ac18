"""What Spark reads from PostgreSQL and writes into staging."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts.contract.errors import InvalidInputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_scripts.contract.tables import Table
    from spark_scripts.postgres.source import Source

FETCH_SIZE = 10_000
"""Rows that a reader fetches at a time. 0, pgjdbc's default, would read a whole slice into memory."""

FETCH_FEWER = 100
"""The fetch size is divided by this when a fetch is larger than MAX_FETCH: 10,000, then 100, then 1."""

MAX_FETCH = "64M"
"""pgjdbc refuses a fetch with more bytes (its property maxResultBuffer), before it fills the heap.

A fetch of a single row has no such limit, because it cannot be made smaller.
"""

SESSION = {
    "spark.ui.showConsoleProgress": "false",
    "spark.scheduler.mode": "FAIR",  # a small table does not wait for all slices of a large one: ingestion/workers.py
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # columns that differ only in case
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",  # no shift of dates before 1582-10-15
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.cleanup.skipped": "true",  # staging is deleted at the end, all at once
    # Else S3A asks S3, before it makes a file or folder, whether another is in its way, and after a delete whether the
    # folder is empty. All names here are new. A release that lacks a flag ignores it; EMR has these since 7.4:
    # https://docs.aws.amazon.com/emr/latest/ReleaseGuide/Hadoop-release-history-740.html
    # https://hadoop.apache.org/docs/r3.4.1/hadoop-aws/tools/hadoop-aws/performance.html
    "spark.hadoop.fs.s3a.performance.flags": "create,delete,mkdir",
    "spark.executor.killOnFatalError.depth": "0",  # a full heap fails the task, with its reason, and not the JVM
    "spark.sql.optimizer.plannedWrite.enabled": "false",  # it sorts rows by month, which _OPEN_FILES makes needless
}

_OPEN_FILES = {"csv": 100, "parquet": 1}
"""Files that a task may hold open, one for each month, before it sorts its rows by month.

A text file needs a small buffer; a Parquet file a whole row group.
"""

_CORRUPT_RECORD = "_corrupt_record"
"""The column (spark.sql.columnNameOfCorruptRecord) in which Spark's CSV reader puts lines that it cannot parse."""

_CSV = {
    "header": "true",
    "encoding": "UTF-8",
    "quote": '"',
    "escape": '"',
    "nullValue": "",
    "emptyValue": "",
    "lineSep": "\n",  # else Spark takes the file's first line break, which may be within a column's name
}


_BINS = 1_000_000


def cores(spark: SparkSession) -> int:
    """How many tasks run at once: the cores that there are, or on EMR the cores that the first executors will have."""
    conf = spark.sparkContext.getConf()
    asked = int(conf.get("spark.executor.instances") or 0) * int(conf.get("spark.executor.cores") or 1)
    return max(spark.sparkContext.defaultParallelism, asked)


def read(
    spark: SparkSession, source: Source, table: Table, query: str, predicates: Sequence[str], fetch_size: int
) -> DataFrame:
    """The result of `query`, a task for each of the predicates, all under the source's snapshot."""
    limit = {"maxResultBuffer": MAX_FETCH} if fetch_size > 1 else {}
    return spark.read.jdbc(
        source.database.url,
        f"({query}) AS source",
        predicates=list(predicates),
        properties={
            **source.reader_properties(table),
            **limit,
            "fetchsize": str(fetch_size),
        },
    )


def write(
    frame: DataFrame, table: Table, uri: str, *, months_of_a_task: int = 1, fetch_size: int = FETCH_SIZE
) -> Mapping[int, int]:
    """Write `frame`, read with `fetch_size`, below `uri` into a folder for each value of its last column, the month.

    No task has rows of more months than `months_of_a_task`. Returns the number of rows written, by that value.
    """
    open_files = _OPEN_FILES[table.format]
    if table.format == "parquet" and months_of_a_task > open_files:
        open_files = 0  # the rows are sorted at once
    frame.sparkSession.conf.set("spark.sql.maxConcurrentOutputFileWriters", str(open_files))
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
        if fetch_size < FETCH_SIZE:  # 100 large rows, after which it looks at the size, may not fit the heap
            writer = writer.option("parquet.page.size.row.check.min", "1")
        writer.parquet(uri)
    rows: Counter[int] = Counter()
    for bin_ in json.loads(written.get["rows_by_day"] or "[]"):
        rows[int(bin_["x"])] += int(bin_["y"])
    return rows


def check_count_back(table: Table, columns: Sequence[str], undated: bool) -> None:
    """Raise InvalidInputError when Spark's CSV reader cannot read the table back.

    `undated` says whether rows without a month are among its rows.
    """
    if table.format != "csv" or table.verify != "full":
        return
    otherwise = "set verify: count for it in tables.yaml, or format: parquet"
    if _CORRUPT_RECORD in columns:
        raise InvalidInputError(
            f"table {table.name}: verify: full cannot read the CSV of column {_CORRUPT_RECORD} back, a name that Spark"
            f" reserves for lines that it cannot parse: {otherwise}"
        )
    if undated and len(columns) == 1:
        raise InvalidInputError(
            f"table {table.name}: verify: full cannot read rows back whose only column, {columns[0]}, is NULL, because"
            f" in CSV they are empty lines, which Spark skips: {otherwise}"
        )


def count_back(spark: SparkSession, table: Table, uri: str) -> int:
    """Read the files in the folder `uri` back and count their rows."""
    reader = spark.read.options(**_CSV, multiLine="true", mode="FAILFAST") if table.format == "csv" else spark.read
    frame: DataFrame = reader.format(table.format).load(uri)
    # Spark counts CSV records without parsing them unless a column is asked for.
    rows = frame.select(F.count(F.struct(*(F.col(_quoted(name)) for name in frame.columns))).alias("rows"))
    return int(rows.collect()[0]["rows"])


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
