"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from aws_setup.cloudformation import parameters
from ingest_assets import environment


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print a JSON document")


def add_parameters(parser: argparse.ArgumentParser, checks: Sequence[str]) -> None:
    """The template's parameters, and which of the `checks` to leave out."""
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_key_value,
        metavar="KEY=VALUE",
        help="set a parameter of template.yaml; the others keep their values",
    )
    parser.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE",
        help="a YAML file with a mapping of parameters; --parameter overrides it",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[name for name in (environment.read(environment.IGNORE_CHECKS) or "").split(",") if name],
        choices=checks,
        metavar="CHECK",
        help=f"leave out a check: {', '.join(checks)}",
    )


def given_parameters(options: argparse.Namespace) -> dict[str, str]:
    """The parameters of the file and of the command line. Raises UsageError naming the key that is wrong."""
    listed = parameters.from_file(options.parameters) if options.parameters else {}
    return {**listed, **dict(options.parameter)}


def _key_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return name, value
