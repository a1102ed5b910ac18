"""Errors of the ingestion, each with a message that names the thing and says what to do."""

from __future__ import annotations


class IngestionError(Exception):
    """The work failed; the message is meant for a person and holds no secret."""


class InvalidInputError(IngestionError):
    """The execution's input, a table entry or a secret is not of the agreed form."""


class TryAgainError(IngestionError):
    """The table could not be read now; another attempt, a while later, may succeed."""
