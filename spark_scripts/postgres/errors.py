"""Errors of reading the source."""

from __future__ import annotations

from spark_scripts.contract.errors import IngestionError, TryAgainError

REFUSED_LOGIN = ("28P01", "28000")
"""The SQLSTATEs of a wrong password or user."""


class SourceError(IngestionError):
    """PostgreSQL refused or failed; `state` is its SQLSTATE, empty when there is none."""

    def __init__(self, message: str, state: str = "") -> None:
        super().__init__(message)
        self.state = state


class ConnectionLostError(SourceError):
    """One of the driver's own connections is lost, and with it the snapshot or the locks."""


class SourceChangedError(TryAgainError):
    """The relation is not the one in the snapshot: read it again under a new snapshot."""

    def __init__(self, name: str, changed: str) -> None:
        super().__init__(
            f"{name} was rewritten, replaced or altered after the job took its snapshot ({changed}): run it again"
        )


class RowCountError(IngestionError):
    """Another number of rows arrived than the source counted in the same snapshot."""
