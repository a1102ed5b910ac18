"""Check an input, start an execution with it, and follow the execution to its end."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from boto3.session import Session

from aws_setup.commands.progress_view import ProgressView
from aws_setup.commands.terminal import say
from aws_setup.errors import UsageError
from ingest_assets.aws import estimate, executions
from ingest_assets.aws.console_links import job_output_key
from ingest_assets.aws.cost import LIST_PRICES, workers
from ingest_assets.aws.driver_logs import last_lines
from ingest_assets.aws.errors import error_code
from ingest_assets.aws.job_runs import JobRun, find
from ingest_assets.aws.schedule_drift import read_schedule
from ingest_assets.aws.stack import StackOutputs, read_stack, stack_name
from ingest_assets.tables import check_request
from spark_scripts.contract.layout import (
    TABLES_KEY,
    execution_manifests_prefix,
    manifest_of_execution,
    progress_key,
)
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.progress import Progress
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Report = Callable[[str], None]

_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
_LOG_LINES = 20
_LONGEST_CAUSE = 2000  # characters; Step Functions gives up to 32,768


HELP = "start an execution"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--input",
        type=_json,
        metavar="JSON",
        help='such as {"table": "mockrecord", "months": ["2024-02"]}; {} is everything (default: the schedule\'s)',
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="follow the execution to its end")
    how.add_argument(
        "--estimate", action="store_true", help="say what it will probably take and cost, and start nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Start the execution; 1 when `--wait` saw it fail."""
    session = Session()
    if options.estimate:
        say(foretell(session, stack_name(), options.input))
        return 0
    started = start(session, stack_name(), options.input, say)
    if not options.wait:
        return 0
    try:
        return 0 if wait(session, started, say) else 1
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"interrupted: the execution {started.name} continues") from interrupt


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error})") from error


@dataclass(frozen=True)
class Started:
    """An execution that was started, and the stack that it belongs to."""

    arn: str
    outputs: StackOutputs

    @property
    def name(self) -> str:
        """The execution's name."""
        return self.arn.rpartition(":")[2]


def start(session: Session, stack: str, request: object, report: Report) -> Started:
    """Start an execution with the input `request`, or with the schedule's input when it is None.

    Raises InvalidInputError naming what is wrong with the input, TablesError when tables.yaml has changed since the
    last deployment, and StackError when there is no stack. Nothing has been started then.
    """
    outputs = StackOutputs.read(session.client("cloudformation"), stack)
    now = datetime.now(UTC)
    if request is None:
        request = _scheduled_input(session, outputs.schedule_name, now)
    _check(session.client("s3"), outputs.bucket_name, request, now)
    answer = session.client("stepfunctions").start_execution(
        stateMachineArn=outputs.state_machine_arn,
        name=f"by-hand-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        input=json.dumps(request),
    )
    report(f"started {answer['executionArn']} with {json.dumps(request)}")
    return Started(answer["executionArn"], outputs)


def foretell(session: Session, stack: str, request: object) -> str:
    """One line about what an execution with this input will probably take and cost. Starts nothing.

    Takes the input and raises errors as `start` does.
    """
    found = read_stack(session.client("cloudformation"), stack)
    outputs = StackOutputs.of(found)
    now = datetime.now(UTC)
    s3, step_functions = session.client("s3"), session.client("stepfunctions")
    if request is None:
        request = _scheduled_input(session, outputs.schedule_name, now)
    asked = {
        one.table.name: one.months or one.table.months_until(Month.current(one.table.timezone, now))
        for one in _check(s3, outputs.bucket_name, request, now)
    }
    work, past = estimate.look(s3, step_functions, outputs.bucket_name, outputs.state_machine_arn, asked)
    return str(estimate.estimate(work, past, workers(found.parameters), LIST_PRICES) or estimate.nothing_known(work))


def wait(session: Session, started: Started, report: Report) -> bool:
    """Follow the execution and `report` its states, the job's progress and the result; returns whether it succeeded.

    On a terminal the progress is a line that is overwritten in place; elsewhere each change of it is a line.
    """
    client = session.client("stepfunctions")

    view = ProgressView(report, sys.stdout)

    def show(change: executions.StateChange) -> None:
        view.say(f"{change.at.astimezone():%H:%M:%S} {change.text}")

    s3 = session.client("s3")
    ended = executions.follow(client, started.arn, show, on_look=lambda: view.look(partial(_progress, s3, started)))
    view.end(_progress(s3, started))
    manifests = list(_ingested(s3, started))
    for line in _table(manifests):
        report(line)
    if ended.status == "SUCCEEDED":
        report(f"execution {started.name} succeeded: {_sum(manifests)}")
        return True
    for line in _failure(session, started, ended):
        report(line)
    return False


def _scheduled_input(session: Session, schedule: str, now: datetime) -> Any:
    """The input that the schedule would send now, with its context attribute replaced as EventBridge Scheduler does."""
    request = read_schedule(session.client("scheduler"), schedule).input
    return json.loads(request.replace(_SCHEDULED_TIME, f"{now:%Y-%m-%dT%H:%M:%SZ}"))


def _check(client: S3Client, bucket: str, request: object, now: datetime) -> list[TableRequest]:
    try:
        deployed = client.get_object(Bucket=bucket, Key=TABLES_KEY)["Body"].read().decode()
    except client.exceptions.NoSuchKey as error:
        raise UsageError(f"s3://{bucket}/{TABLES_KEY} is missing: run `python -m aws_setup deploy`") from error
    return check_request(request, deployed, now)


def _ingested(client: S3Client, started: Started) -> Iterator[Manifest]:
    """The manifests that the execution wrote."""
    bucket = started.outputs.bucket_name
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=execution_manifests_prefix(started.name)
    )
    for page in pages:
        for entry in page.get("Contents", []):
            if manifest_of_execution(started.name, entry["Key"]) is None:
                continue
            yield Manifest.from_json(client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode())


def _progress(client: S3Client, started: Started) -> Progress | None:
    try:
        body = client.get_object(Bucket=started.outputs.bucket_name, Key=progress_key(started.name))["Body"]
    except client.exceptions.ClientError as error:
        if error_code(error) not in ("NoSuchKey", "404"):
            raise
        return None
    return Progress.readable(body.read().decode())


def _table(manifests: list[Manifest]) -> list[str]:
    width = max([len(one.table) for one in manifests], default=0)
    return [f"{one.table:<{width}}  {one.month:<8} {one.rows:>12,} rows {one.bytes:>14,} bytes" for one in manifests]


def _sum(manifests: list[Manifest]) -> str:
    dated = [one.rows for one in manifests if one.partition != UNDATED]
    undated = sum(one.rows for one in manifests if one.partition == UNDATED)
    rows = f"{counted(sum(dated), 'row')} in {counted(len(dated), 'month')}"
    return f"{rows}, {counted(undated, 'row')} without a month" if undated else rows


def _failure(session: Session, started: Started, ended: executions.Execution) -> Iterator[str]:
    yield f"execution {started.name} has {ended.status}: {ended.error or 'no error was reported'}"
    run = find(session.client("stepfunctions"), started.arn)
    reason = (run.details if run else None) or ended.cause
    if reason:
        yield reason if len(reason) <= _LONGEST_CAUSE else f"{reason[:_LONGEST_CAUSE]}…"
    if run is not None and run.job_run_id is not None:
        yield from _driver_log(session.client("s3"), started.outputs.bucket_name, run, run.job_run_id)


def _driver_log(client: S3Client, bucket: str, run: JobRun, job_run_id: str) -> Iterator[str]:
    key = job_output_key(run.application_id, job_run_id)
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
    except client.exceptions.ClientError as error:
        if error_code(error) not in ("NoSuchKey", "404"):
            raise
        yield f"the driver wrote no log to s3://{bucket}/{key}"
        return
    yield f"last lines of s3://{bucket}/{key}:"
    for line in last_lines(body.iter_chunks())[-_LOG_LINES:]:
        yield f"    {line}"
