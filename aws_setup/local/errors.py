"""Errors of the local AWS account. Each message says what to do."""

from __future__ import annotations

from pathlib import Path

from aws_setup.errors import UsageError
from spark_scripts.contract.errors import DataLakeError


class LocalAccountError(DataLakeError):
    """A part of the local account did not start."""


class PortTakenError(UsageError):
    """Another program listens on the requested port."""

    def __init__(self, port: int, option: str) -> None:
        self.port = port
        super().__init__(f"port {port} is in use: give another port with {option}, or leave it out to get a free one")


class AccountInUseError(UsageError):
    """Another process runs a local account in the same folder."""

    def __init__(self, home: Path, pid: str) -> None:
        self.home = home
        holder = f" (process {pid})" if pid else ""
        super().__init__(f"a local account{holder} already runs in {home}: stop it, or give another folder with --home")


class NoAccountError(UsageError):
    """No local account runs in the folder, or it is not ready."""

    def __init__(self, home: Path, what: str) -> None:
        self.home = home
        super().__init__(f"{what} in {home}: start one with `make dev`, or give its folder with --home")


class DotenvError(UsageError):
    """A `.env` file would make the command use another AWS account."""
