"""Proposes entries of tables.yaml for the tables of a database."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from datetime import UTC, datetime
from pathlib import Path

from boto3.session import Session as AwsSession

from aws_setup.commands.secret import endpoint
from aws_setup.errors import UsageError
from ingest_assets.aws.stack import StackOutputs, read_stack, stack_name
from ingest_assets.tables import tables_path
from spark_scripts.contract.database import Database, database_from_secret

HELP = "look at a PostgreSQL database and propose entries of tables.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = (
        "It reads the catalog, PostgreSQL's statistics and at most 1,000 rows of a table, and changes nothing in the"
        " database. The entries go to standard output, everything else to standard error."
    )
    parser.add_argument("--schema", metavar="SCHEMA", help="look at this schema only")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="SCHEMA.TABLE",
        help="look at this table or view, written as in SQL; may be given several times",
    )
    parser.add_argument(
        "--source-dsn",
        metavar="DSN",
        help="the database, a URL or key=value pairs; `-` reads it from standard input (default: the one of the stack's"
        " secret)",
    )
    parser.add_argument("--exact", action="store_true", help="count all rows, which reads each table twice")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--output", type=Path, metavar="FILE", help="write the entries to a new file")
    target.add_argument(
        "--write", action="store_true", help="add the entries that are missing to tables.yaml (or INGEST_TABLES)"
    )


def run(options: argparse.Namespace) -> int:
    """Propose entries; 1 when there is no table to propose. Raises UsageError for what cannot be done."""
    if importlib.util.find_spec("psycopg") is None:
        raise UsageError("suggest needs psycopg, of the dependency group `local`: run `make install`")
    from aws_setup.onboarding import merging, proposing  # noqa: PLC0415 (imports psycopg)

    existing = merging.existing_entries(tables_path()) if options.write else ()
    if options.output and options.output.exists():
        raise UsageError(f"{options.output} exists: give another file, or add to tables.yaml with --write")
    wanted = proposing.Wanted(options.schema, tuple(options.table), options.exact, existing)
    found = proposing.propose(_source(options.source_dsn), wanted, datetime.now(UTC))
    print(f"{found.report}\n", file=sys.stderr, flush=True)
    if not found.entries:
        return 0 if found.known else 1
    if options.write:
        merging.append(tables_path(), found.entries)
    elif options.output:
        merging.write_new(options.output, found.text)
    else:
        print(found.text, end="")
    if options.write or options.output:
        print(f"wrote {_entries(len(found.entries))} to {options.output or tables_path()}", file=sys.stderr)
    return 0


def _source(dsn: str | None) -> Database | str:
    """The database of `--source-dsn`, else that of the stack's secret. Raises UsageError, StackError, AWS's errors."""
    from aws_setup.source_database import open_source, read_dsn  # noqa: PLC0415 (imports psycopg)

    if dsn is not None:
        return open_source(read_dsn(dsn)).dsn
    session = AwsSession()
    stack = read_stack(session.client("cloudformation"), stack_name())
    secret_id = StackOutputs.of(stack).database_secret_arn
    text = session.client("secretsmanager").get_secret_value(SecretId=secret_id).get("SecretString")
    return database_from_secret(secret_id, text, endpoint(stack.parameters))


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
