"""Check an input, start an execution with it, and follow the execution to its end."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from boto3.session import Session

from aws_setup.commands.progress_view import ProgressView
from aws_setup.commands.terminal import say
from ingest_assets.aws import estimate, executions
from ingest_assets.aws.console_links import job_output_key
from ingest_assets.aws.cost import LIST_PRICES, workers
from ingest_assets.aws.job_runs import ExecutionJob, find
from ingest_assets.aws.raw_layer import RawLayer, RawLayerOfBucket
from ingest_assets.aws.schedule_drift import read_schedule
from ingest_assets.aws.stack import StackOutputs, read_stack, stack_name
from ingest_assets.tables import check_request
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.refresh import Refresh
from spark_scripts.contract.wording import counted

Report = Callable[[str], None]

_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
_LOG_LINES = 20


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
        "--look",
        action="store_true",
        help="count which months have changed since they were ingested, print them, and ingest nothing",
    )
    how.add_argument(
        "--estimate", action="store_true", help="say what it will probably take and cost, and start nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Start the execution; 1 when `--wait` saw it fail."""
    session = Session()
    if options.estimate:
        say(foretell(session, stack_name(), options.input))
        return 0
    started = start(session, stack_name(), _look(options.input) if options.look else options.input, say)
    if not (options.wait or options.look):
        return 0
    try:
        return 0 if wait(session, started, say) else 1
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"interrupted: the execution {started.name} continues") from interrupt


def _look(request: object) -> object:
    """The input as a refresh that only counts, of every table when it is None. `start` refuses what is no object."""
    if request is None or isinstance(request, Mapping):
        return {**(request or {}), "refresh": True, "dry_run": True}
    return request


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
    check_request(request, RawLayerOfBucket(session.client("s3"), outputs.bucket_name).deployed_tables(), now)
    answer = session.client("stepfunctions").start_execution(
        stateMachineArn=outputs.state_machine_arn,
        name=f"by-hand-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        input=json.dumps(request),
    )
    report(f"started {answer['executionArn']} with {json.dumps(request)}")
    return Started(answer["executionArn"], outputs)


def foretell(session: Session, stack: str, request: object) -> str:
    """One line about what an execution with this input will probably take and cost. Starts nothing.

    For a refresh it is the most, what it takes if every month has changed. Takes the input and raises errors as `start`
    does.
    """
    found = read_stack(session.client("cloudformation"), stack)
    outputs = StackOutputs.of(found)
    now = datetime.now(UTC)
    raw_layer = RawLayerOfBucket(session.client("s3"), outputs.bucket_name)
    if request is None:
        request = _scheduled_input(session, outputs.schedule_name, now)
    requests = check_request(request, raw_layer.deployed_tables(), now)
    asked = {
        one.table.name: one.months or one.table.months_until(Month.current(one.table.timezone, now)) for one in requests
    }
    work, past = estimate.look(raw_layer, session.client("stepfunctions"), outputs.state_machine_arn, asked)
    text = str(estimate.estimate(work, past, workers(found.parameters), LIST_PRICES) or estimate.nothing_known(work))
    refresh = any(one.refresh for one in requests)
    return f"if every month has changed: {text} (`trigger --look` counts which have)" if refresh else text


def wait(session: Session, started: Started, report: Report) -> bool:
    """Follow the execution and `report` its states, the job's progress and the result; returns whether it succeeded.

    On a terminal the progress is a line that is overwritten in place; elsewhere each change of it is a line.
    """
    client = session.client("stepfunctions")

    view = ProgressView(report, sys.stdout)

    def show(change: executions.StateChange) -> None:
        view.say(f"{change.at.astimezone():%H:%M:%S} {change.text}")

    raw_layer = RawLayerOfBucket(session.client("s3"), started.outputs.bucket_name)
    progress = partial(raw_layer.progress, started.name)
    ended = executions.follow(client, started.arn, show, on_look=lambda: view.look(progress))
    view.end(progress())
    manifests = raw_layer.manifests_of(started.name)
    refreshes = raw_layer.refreshes_by(started.name)
    for line in [*_table(manifests), *_changes(refreshes.values())]:
        report(line)
    if ended.status == "SUCCEEDED":
        looked = any(one.dry_run for one in refreshes.values())
        report(f"execution {started.name} succeeded: {'nothing was ingested' if looked else _sum(manifests)}")
        return True
    for line in _failure(session, raw_layer, started, ended):
        report(line)
    return False


def _scheduled_input(session: Session, schedule: str, now: datetime) -> Any:
    """The input that the schedule would send now, with its context attribute replaced as EventBridge Scheduler does."""
    request = read_schedule(session.client("scheduler"), schedule).input
    return json.loads(request.replace(_SCHEDULED_TIME, f"{now:%Y-%m-%dT%H:%M:%SZ}"))


def _table(manifests: list[Manifest]) -> list[str]:
    width = max([len(one.table) for one in manifests], default=0)
    return [f"{one.table:<{width}}  {one.month:<8} {one.rows:>12,} rows {one.bytes:>14,} bytes" for one in manifests]


def _changes(refreshes: Iterable[Refresh]) -> Iterator[str]:
    """What a refresh found: a line for each table, then one for each of its months that has changed."""
    for found in refreshes:
        yield f"{found.table}: {found.summary()}"
        for month, reason in sorted(found.changed.items()):
            yield f"  {month:<8} {reason}"


def _sum(manifests: list[Manifest]) -> str:
    dated = [one.rows for one in manifests if one.partition != UNDATED]
    undated = sum(one.rows for one in manifests if one.partition == UNDATED)
    rows = f"{counted(sum(dated), 'row')} in {counted(len(dated), 'month')}"
    return f"{rows}, {counted(undated, 'row')} without a month" if undated else rows


def _failure(session: Session, raw_layer: RawLayer, started: Started, ended: executions.Execution) -> Iterator[str]:
    yield f"execution {started.name} has {ended.status}: {ended.error or 'no error was reported'}"
    run = find(session.client("stepfunctions"), started.arn)
    reason = (run.details if run else None) or ended.cause
    if reason:
        yield executions.shortened(reason)
    if run is not None and run.job_run_id is not None:
        yield from _driver_log(raw_layer, run, run.job_run_id)


def _driver_log(raw_layer: RawLayer, run: ExecutionJob, job_run_id: str) -> Iterator[str]:
    key = job_output_key(run.application_id, job_run_id)
    lines = raw_layer.log_end(key)
    if not lines:
        yield f"the driver wrote no log to {raw_layer.uri(key)}"
        return
    yield f"last lines of {raw_layer.uri(key)}:"
    for line in lines[-_LOG_LINES:]:
        yield f"    {line}"
