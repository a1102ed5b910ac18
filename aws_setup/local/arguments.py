"""The arguments of `python -m aws_setup local`. Imports no package of the dependency group `local`."""

from __future__ import annotations

import argparse
from pathlib import Path

from aws_setup.errors import UsageError
from aws_setup.local.packages import require_packages
from spark_scripts.contract.database import is_port

HELP = "run a command in an AWS account on localhost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.usage = (
        "python -m aws_setup local [-h] [--debug] [--source-dsn DSN] [--home DIR] [--postgres-port PORT] [--s3a]"
        " [-- COMMAND …]"
        "\n       python -m aws_setup local [--home DIR] (--attach -- COMMAND … | --env)"
    )
    parser.add_argument(
        "--source-dsn",
        metavar="DSN",
        help="the database to ingest, a URL or key=value pairs; `-` reads it from standard input",
    )
    parser.add_argument("--home", type=Path, metavar="DIR", help="the folder of database and lake (default: .local)")
    parser.add_argument(
        "--attach", action="store_true", help="run the command in the local account that is running (`make dev`)"
    )
    parser.add_argument("--env", action="store_true", help="print the variables of the account that is running")
    parser.add_argument(
        "--postgres-port", type=_port, metavar="PORT", help="the port of the sample database (default: a free one)"
    )
    parser.add_argument(
        "--s3a", action="store_true", help="use Hadoop's S3A, as on EMR; the lake's objects end with the account"
    )
    parser.add_argument(
        "arguments", nargs="*", metavar="COMMAND", help="the command; without one the account runs until Ctrl-C"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command. Raises UsageError when a package is missing or the arguments contradict each other."""
    require_packages()
    from aws_setup.local import command  # noqa: PLC0415 (imports the packages)

    if options.attach or options.env:
        return command.attach(_attached(options), home=options.home)
    return command.run(
        options.arguments,
        source_dsn=options.source_dsn,
        home=options.home,
        postgres_port=options.postgres_port,
        s3a=options.s3a,
    )


def _attached(options: argparse.Namespace) -> list[str]:
    """The command to run in the running account; empty when its variables are to be printed."""
    arguments: list[str] = options.arguments
    if options.source_dsn is not None or options.postgres_port is not None or options.s3a:
        raise UsageError("--source-dsn, --postgres-port and --s3a are for an account that starts: leave them out")
    if bool(arguments) is options.env:
        raise UsageError("give --attach with a command after `--`, or --env alone")
    return arguments


def _port(text: str) -> int:
    if not is_port(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)
