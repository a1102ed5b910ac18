"""Errors of `aws_setup`. Each message says what to do."""

from __future__ import annotations

from spark_scripts.contract.errors import DataLakeError


class UsageError(DataLakeError):
    """The command cannot do what it was asked to do: an argument is wrong, or something that it needs is missing."""


class SourceDsnError(UsageError):
    """The source database cannot be used. The message contains no password."""


class DeployError(DataLakeError):
    """The stack was not deployed or not deleted. The message contains the reasons."""
