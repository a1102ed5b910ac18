"""One writer per table: advisory locks in the source database.

The job takes them before its snapshot, on a connection of their own: whoever gets a lock later has a later snapshot, so
older data never overwrites newer data. They end with the connection, and so with a killed driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_scripts.contract.errors import IngestionError
from spark_scripts.postgres.connection import Connection

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_scripts.contract.database import Database

_HOLDERS = """
SELECT coalesce(nullif(application_name, ''), 'process ' || pid) AS holder
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(?, 0)
"""


class LockedError(IngestionError):
    """Another execution writes the table."""


class Locks:
    """The locks of an execution, which last as long as their connection.

    Each statement on `connection` sees the latest committed data, unlike the snapshot of the source.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._refused: dict[str, str] = {}

    @classmethod
    @contextmanager
    def taken(cls, spark: SparkSession, database: Database, execution: str, keys: Iterable[str]) -> Iterator[Locks]:
        """Try to become the one writer of each of `keys`; `check` reports a lock that was refused.

        Raises SourceError.
        """
        with Connection.open(spark, database, execution) as connection:
            locks = cls(connection)
            if connection.standby:
                print(
                    f"{database} is a standby: an execution that reads another server can write the same tables at the"
                    " same time",
                    flush=True,
                )
            for key in keys:
                locks._take(key)
            yield locks

    def _take(self, key: str) -> None:
        if self.connection.rows("SELECT pg_try_advisory_xact_lock(hashtextextended(?, 0)) AS mine", key)[0]["mine"]:
            return
        with self.connection.letting_go():
            holders = [row["holder"] for row in self.connection.rows(_HOLDERS, key)]
        self._refused[key] = " and ".join(holders) or "unknown"

    def holds(self, key: str) -> bool:
        """Whether the lock of `key` was not refused."""
        return key not in self._refused

    def check(self, key: str) -> None:
        """Raise LockedError naming the holder when the lock was refused, SourceError when the connection is lost."""
        if key in self._refused:
            raise LockedError(
                f"{key} is being written by execution {self._refused[key]}: start again when it has ended"
            )
        self.connection.rows("SELECT 1 AS alive")
