"""What the ingestion of every table in one execution works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.driver.reporter import Reporter
    from spark_scripts.glue.catalog import Catalog
    from spark_scripts.ingestion.summary import Outcome
    from spark_scripts.lake.bucket import Lake
    from spark_scripts.locking.advisory import Locks
    from spark_scripts.locking.watch import Watch
    from spark_scripts.postgres.source import Source


@dataclass(frozen=True)
class JobContext:
    """The parts of a running job. `catalog` is None where the stack has no Glue catalog.

    `changes` are the partitions that refreshes of this execution found changed, with the reasons, by table, and
    `outcomes` what became of each table.
    """

    spark: SparkSession
    source: Source
    locks: Locks
    watch: Watch
    reporter: Reporter
    lake: Lake
    catalog: Optional[Catalog]
    changes: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
