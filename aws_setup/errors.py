"""Errors of the AWS side, each with a message that says what to do."""

from __future__ import annotations

from spark_scripts.contract.errors import IngestionError


class UsageError(IngestionError):
    """The command cannot do what was asked for: wrong arguments, or something that must exist does not."""


class DeployError(IngestionError):
    """CloudFormation did not accept or not finish the stack; the message holds its reasons."""
