"""The command line: `python -m aws_setup COMMAND`; COMMANDS lists the commands.

Exit codes: 0 the command succeeded, 1 its work failed, 2 wrong usage or AWS cannot be reached, 130 interrupted by
Ctrl-C. An error is one line on standard error.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from aws_setup.commands import dashboard, deploy, destroy, preflight, secret, status, suggest, trigger, verify
from aws_setup.errors import UsageError
from aws_setup.local import arguments as local
from ingest_assets import environment
from ingest_assets.aws.errors import AwsError, explain
from ingest_assets.aws.stack import StackError
from spark_scripts.contract.errors import DataLakeError, InvalidInputError

INTERRUPTED = 130  # as a shell reports SIGINT


class Command(Protocol):
    """A module with a command: its help, its arguments, and what it does."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the command and return its exit code."""


COMMANDS: Mapping[str, Command] = {
    "deploy": deploy,
    "preflight": preflight,
    "status": status,
    "verify": verify,
    "trigger": trigger,
    "dashboard": dashboard,
    "secret": secret,
    "suggest": suggest,
    "destroy": destroy,
    "local": local,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted", INTERRUPTED)
    except (DataLakeError, BotoCoreError, ClientError, OSError) as error:
        if options.debug:
            traceback.print_exc()
        return _fail(*_message_and_code(error))
    return code


def _message_and_code(error: Exception) -> tuple[str, int]:
    if isinstance(error, (BotoCoreError, ClientError)):
        error = explain(error)
    if isinstance(error, AwsError):
        return str(error), 2 if error.unreached else 1
    wrong_usage = isinstance(error, (UsageError, InvalidInputError, StackError))
    return str(error), 2 if wrong_usage else 1


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aws_setup",
        description=f"The AWS side of the ingestion. {environment.STACK} names the stack, {environment.TABLES} another "
        f"tables.yaml, {environment.IGNORE_CHECKS} the checks to leave out.",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        text = command.HELP
        subparser = subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        subparser.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
