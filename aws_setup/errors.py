"""Errors of the AWS side, each with a message that says what to do."""

from __future__ import annotations

from spark_scripts.contract.errors import DataLakeError


class UsageError(DataLakeError):
    """The command cannot do what was asked for: wrong arguments, or something that must exist does not."""


class DeployError(DataLakeError):
    """CloudFormation did not accept or not finish the stack; the message holds its reasons."""
