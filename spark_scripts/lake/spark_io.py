"""What Spark reads from PostgreSQL and writes into staging."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F  # noqa: N812  (Spark's own convention)

from spark_scripts.contract.content import MODULUS
from spark_scripts.lake import digests

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession
    from pyspark.sql.types import StructType

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
    "spark.sql.ansi.enabled": "false",  # sums of hashes wrap round
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
    "spark.sql.broadcastTimeout": "-1",  # the pepper's broadcast may have to wait for a core (300 s by default)
    "spark.sql.optimizer.plannedWrite.enabled": "false",  # it sorts rows by month, which _OPEN_FILES makes needless
}

_OPEN_FILES = {"csv": 100, "parquet": 1}
"""Files that a task may hold open, one for each month, before it sorts its rows by month.

A text file needs a small buffer; a Parquet file a whole row group.
"""

_BINS = 1_000_000


def cores(spark: SparkSession) -> int:
    """How many tasks run at once: the cores that there are, or on EMR the cores that the first executors will have."""
    conf = spark.conf  # SparkContext.getConf() would fetch every setting from the JVM, one by one
    asked = int(conf.get("spark.executor.instances", None) or 0) * int(conf.get("spark.executor.cores", None) or 1)
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


@dataclass(frozen=True)
class Hashed:
    """Rows to write, and their hashes for the digest of the content (see `spark_scripts/contract/content.py`).

    `day` is the column to partition by, in which the rows have no other values than `days`. `hashes` are the row's hash
    and, to compare what is read back, that which a reader finds; `added` are columns of the frame that are not to be
    written. The hash of `columns`, a text, stands for the names of the columns.
    """

    frame: DataFrame
    day: str
    days: Sequence[int]
    hashes: Sequence[Column]
    columns: str
    added: Sequence[str] = ()


@dataclass(frozen=True)
class Written:
    """What Spark wrote: by day the number of rows and the sums of their hashes of each kind, and the columns' hash.

    `schema` is that of the frame.
    """

    rows: Mapping[int, int]
    sums: Sequence[Mapping[int, int]]
    columns: int
    schema: StructType


def write(
    parts: Sequence[Hashed],
    table: Table,
    uri: str,
    *,
    months_of_a_task: int = 1,
    fetch_size: int = FETCH_SIZE,
) -> Written:
    """Write the frames, read with `fetch_size`, below `uri` into a folder for each value of the last column, the month.

    No task has rows of more months than `months_of_a_task`. All parts have the same columns.
    """
    open_files = _OPEN_FILES[table.format]
    if table.format == "parquet" and months_of_a_task > open_files:
        open_files = 0  # the rows are sorted at once
    first = parts[0]
    first.frame.sparkSession.conf.set("spark.sql.maxConcurrentOutputFileWriters", str(open_files))
    observed = [_Observed.of(part) for part in parts]
    writer = reduce(DataFrame.union, (each.frame for each in observed)).write.mode("overwrite").partitionBy(first.day)
    if table.compression:
        writer = writer.option("compression", table.compression)
    if table.format == "csv":
        writer.text(uri)  # lines that PostgreSQL has built
    else:
        if fetch_size < FETCH_SIZE:  # 100 large rows, after which it looks at the size, may not fit the heap
            writer = writer.option("parquet.page.size.row.check.min", "1")
        writer.parquet(uri)
    return _together([each.written() for each in observed])


@dataclass(frozen=True)
class _Observed:
    """A part that Spark writes, and what it observes of it meanwhile."""

    part: Hashed
    frame: DataFrame
    observation: Observation

    @classmethod
    def of(cls, part: Hashed) -> _Observed:
        observation = Observation()
        # A histogram with more bins than there are values is exact: a bin for each value and task.
        rows = F.to_json(F.histogram_numeric(F.col(digests.quoted(part.day)), F.lit(_BINS))).alias("rows_by_day")
        columns = digests.of_text(part.columns).alias("columns")
        sums = [
            digests.sums_by_day(hashes, part.day, part.days).alias(f"sums_{index}")
            for index, hashes in enumerate(part.hashes)
        ]
        return cls(part, part.frame.observe(observation, rows, columns, *sums).drop(*part.added), observation)

    def written(self) -> Written:
        """What was observed, once the frame is written."""
        found = self.observation.get
        rows = Counter[int]()
        for bin_ in json.loads(found["rows_by_day"] or "[]"):
            rows[int(bin_["x"])] += int(bin_["y"])
        sums = [digests.sums(found[f"sums_{index}"], self.part.days) for index in range(len(self.part.hashes))]
        return Written(rows, sums, found["columns"] or 0, self.frame.schema)


def _together(parts: Sequence[Written]) -> Written:
    rows = sum((Counter(part.rows) for part in parts), Counter[int]())
    sums = [_added(kinds) for kinds in zip(*(part.sums for part in parts))]
    return Written(rows, sums, next((part.columns for part in parts if part.columns), 0), parts[0].schema)


def _added(sums: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The sums by day, modulo 2^64 as Spark's are."""
    added: dict[int, int] = {}
    for each in sums:
        for day, value in each.items():
            added[day] = (added.get(day, 0) + value) % MODULUS
    return added


def read_back(spark: SparkSession, table: Table, uri: str, day: str, schema: StructType) -> Mapping[int, int]:
    """The sums of the hashes of what the files below `uri` hold, by day, modulo 2^64.

    Spark's reader of text splits at line feeds and knows nothing of CSV, so it reads whatever was written.
    """
    if table.format == "csv":
        frame = spark.read.text(uri, lineSep="\n")
        hashes = digests.of_line(frame.columns[0])
    else:
        frame = spark.read.schema(schema).parquet(uri)
        hashes = digests.of_values([field for field in schema.fields if field.name != day])
    found = frame.groupBy(digests.quoted(day)).agg(F.sum(hashes).alias("sum")).collect()
    return {row[0]: row[1] % MODULUS for row in found}
