"""Holding a table: its locks keep rewrites out while the job reads it, and the snapshot is checked to be valid for it.

The job releases the locks before it publishes months, and takes them again for the next months: nobody waits for S3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from spark_scripts.contract.errors import TryAgainError
from spark_scripts.contract.tables import Table
from spark_scripts.locking.rewrites import check_unchanged
from spark_scripts.locking.watch import Watch
from spark_scripts.postgres import sql
from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.errors import RowCountError, SourceChangedError, SourceError
from spark_scripts.postgres.projections import SourceColumn
from spark_scripts.postgres.source import Relation, Source, leaving, read_columns, session_settings

_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"
_SYNTAX_OR_ACCESS = "42"  # the class of SQLSTATEs of a column or relation that is not there
_PERMISSION_DENIED = "42501"


class LockTimeoutError(TryAgainError):
    """Somebody else held a lock on the table for longer than the job waits."""


class Hold:
    """The locks on one table. `now` is a connection whose statements see the latest committed data."""

    def __init__(self, source: Source, now: Connection, watch: Watch, table: Table, relation: Relation) -> None:
        self._source = source
        self._now = now
        self._watch = watch
        self._table = table
        self._relation = relation

    @contextmanager
    def locked(self, condition: str) -> Iterator[None]:
        """Lock what a read of `condition` touches, check that the snapshot is valid for it, and release it at the end.

        Raises TryAgainError when the table was rewritten or altered, when a lock could not be taken, or when another
        session waited for the table, and ConnectionLostError. Where one of these made the read fail, it replaces the
        error of the read.
        """
        connection, name = self._source.connection, self._relation.name
        try:
            with connection.undone():
                connection.set_local(session_settings(self._table))
                with self._watch.holding(self._table, name, connection):  # from the first lock on, of several
                    # The planner locks what it may read.
                    connection.plan(sql.select_columns(name, self._relation.names, condition))
                    check_unchanged(connection, self._now, name)
                    with self._explained_rows():
                        yield
                check_unchanged(connection, self._now, name)  # a partition may have been attached meanwhile
        except SourceError as error:
            self._check_reason(error)
            raise

    @contextmanager
    def _explained_rows(self) -> Iterator[None]:
        """Report a partition that was attached meanwhile as the reason for missing or additional rows."""
        try:
            yield
        except RowCountError:
            check_unchanged(self._source.connection, self._now, self._relation.name)
            raise

    def _check_reason(self, error: SourceError) -> None:
        """Raise TryAgainError when the reason for `error` is another session's lock, or that the table was altered."""
        if error.state == _LOCK_NOT_AVAILABLE:
            who = self._watch.blockers.get(self._table.name, "another session")
            raise LockTimeoutError(
                f"{self._table.name}: waited {self._table.lock_timeout} s for a lock that {who} holds or wants"
            ) from error
        if error.state == _DEADLOCK:
            who = self._watch.blockers.get(self._table.name, "another session")
            raise LockTimeoutError(f"{self._table.name}: PostgreSQL ended a deadlock with {who}") from error
        missing = error.state.startswith(_SYNTAX_OR_ACCESS) and error.state != _PERMISSION_DENIED
        if missing and self._columns_now() != self._relation.columns:
            raise SourceChangedError(self._relation.name, "it has other columns") from error

    def _columns_now(self) -> list[SourceColumn]:
        with self._now.letting_go():
            return leaving(self._table, read_columns(self._now, self._relation.name))
