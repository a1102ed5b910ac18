"""Errors of all three packages. Each message names the thing that is wrong, says what to do, and holds no secret."""

from __future__ import annotations


class DataLakeError(Exception):
    """The base of every error that the project raises on purpose: its message is enough, without a traceback."""


class InvalidInputError(DataLakeError):
    """The execution's input, a table's entry or a secret is not of the agreed form."""


class DocumentError(DataLakeError):
    """A document of the job, such as a manifest, is damaged or was written by another release."""


class IngestionError(DataLakeError):
    """A table could not be ingested."""


class TryAgainError(IngestionError):
    """The table could not be read now; another attempt, a while later, may succeed."""
