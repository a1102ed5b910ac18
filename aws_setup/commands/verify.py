"""Compare the files of the raw layer with the digests that were taken when they were ingested."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Sequence

from boto3.session import Session

from aws_setup.commands.terminal import say
from aws_setup.errors import UsageError
from ingest_assets.aws.content import differences
from ingest_assets.aws.raw_layer import RawLayer, RawLayerOfBucket
from ingest_assets.aws.stack import StackOutputs, stack_name
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.wording import counted

HELP = "read the files of months back and compare them with what was ingested"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--table", required=True, metavar="NAME", help="the table's name in tables.yaml")
    parser.add_argument(
        "--month",
        action="append",
        type=_partition,
        metavar="YYYY-MM",
        help=f"a month, or {UNDATED.key} for the rows without one; can be repeated (default: all that are ingested)",
    )


def run(options: argparse.Namespace) -> int:
    """Compare the months; 1 when one differs."""
    session = Session()
    outputs = StackOutputs.read(session.client("cloudformation"), stack_name())
    raw_layer = RawLayerOfBucket(session.client("s3"), outputs.bucket_name)
    wrong = verify(raw_layer, wanted(raw_layer, options.table, options.month), say)
    for line in advice(raw_layer, options.table, wrong):
        say(line)
    return 1 if wrong else 0


def _partition(text: str) -> str:
    try:
        return text if text == UNDATED.key else str(Month.parse(text))
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def wanted(raw_layer: RawLayer, table: str, months: Sequence[str] | None) -> list[Manifest]:
    """The manifests to verify. Raises UsageError when a month has not been ingested."""
    found = {manifest.month: manifest for manifest in raw_layer.current_manifests(table)}
    if not found:
        raise UsageError(f"no month of {table} has been ingested: see the names in tables.yaml")
    for month in months or ():
        if month not in found:
            raise UsageError(f"{table} {month} has not been ingested")
    return [found[month] for month in months or sorted(found)]


def verify(raw_layer: RawLayer, manifests: Sequence[Manifest], report: Callable[[str], None]) -> list[str]:
    """Compare the files of each manifest with it, report each month, and return the months that differ."""
    wrong = []
    for manifest in manifests:
        month = f"{manifest.table} {manifest.month}"
        if manifest.content is None:
            report(f"{month}: not compared, because it was ingested by a release that took no digest")
            continue
        found = differences(raw_layer, manifest)
        for difference in found:
            report(f"{month}: {difference}")
        if found:
            wrong.append(manifest.month)
        else:
            report(f"{month}: {counted(manifest.rows, 'row')} in {counted(len(manifest.files), 'file')}, as ingested")
    return wrong


def advice(raw_layer: RawLayer, table: str, wrong: Sequence[str]) -> list[str]:
    """How to ingest again the months that differ. Every execution that names months also ingests the undated rows."""
    if not wrong:
        return []
    months = [month for month in wrong if month != UNDATED.key] or raw_layer.months(table)[-1:]
    differ = f"{counted(len(wrong), 'month')} of {table} {'differs' if len(wrong) == 1 else 'differ'}"
    request = json.dumps({"table": table, **({"months": months} if months else {})})
    return [
        f"{differ} from what was ingested. Ingest again:"
        f" python -m aws_setup trigger --wait --input {shlex.quote(request)}"
    ]
