"""Start an execution by hand, after checking its input, and follow it to its end."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_setup.commands.progress_view import ProgressView
from ingest_assets.aws import estimate, executions
from ingest_assets.aws.console_links import job_output_key
from ingest_assets.aws.cost import LIST_PRICES, workers
from ingest_assets.aws.job_runs import ExecutionJob, find
from ingest_assets.aws.raw_layer import RawLayer, RawLayerOfBucket
from ingest_assets.aws.schedule_drift import read_schedule
from ingest_assets.aws.stack import StackOutputs, read_stack
from ingest_assets.tables import check_request
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from boto3.session import Session

Report = Callable[[str], None]

_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
_LOG_LINES = 20


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
    """Start an execution with the input `request`, with the schedule's own when that is None.

    Raises InvalidInputError naming what is wrong with the input, and TablesError when tables.yaml has changed since it
    was deployed, both before anything is started; StackError when there is no stack.
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

    Takes the input and raises errors as `start` does.
    """
    found = read_stack(session.client("cloudformation"), stack)
    outputs = StackOutputs.of(found)
    now = datetime.now(UTC)
    raw_layer = RawLayerOfBucket(session.client("s3"), outputs.bucket_name)
    if request is None:
        request = _scheduled_input(session, outputs.schedule_name, now)
    asked = {
        one.table.name: one.months or one.table.months_until(Month.current(one.table.timezone, now))
        for one in check_request(request, raw_layer.deployed_tables(), now)
    }
    work, past = estimate.look(raw_layer, session.client("stepfunctions"), outputs.state_machine_arn, asked)
    return str(estimate.estimate(work, past, workers(found.parameters), LIST_PRICES) or estimate.nothing_known(work))


def wait(session: Session, started: Started, report: Report) -> bool:
    """Follow the execution, `report` its changes, the job's progress and what came of it; whether it succeeded.

    On a terminal a line that is written over and over shows the progress; otherwise it is reported as it changes.
    """
    client = session.client("stepfunctions")

    view = ProgressView(report, sys.stdout)

    def tell(change: executions.StateChange) -> None:
        view.say(f"{change.at.astimezone():%H:%M:%S} {change.text}")

    raw_layer = RawLayerOfBucket(session.client("s3"), started.outputs.bucket_name)
    progress = partial(raw_layer.progress, started.name)
    ended = executions.follow(client, started.arn, tell, on_look=lambda: view.look(progress))
    view.end(progress())
    manifests = raw_layer.manifests_of(started.name)
    for line in _table(manifests):
        report(line)
    if ended.status == "SUCCEEDED":
        report(f"execution {started.name} succeeded: {_sum(manifests)}")
        return True
    for line in _failure(session, raw_layer, started, ended):
        report(line)
    return False


def _scheduled_input(session: Session, schedule: str, now: datetime) -> Any:
    """The input that the schedule would send now, its context attribute filled in as EventBridge Scheduler does."""
    request = read_schedule(session.client("scheduler"), schedule).input
    return json.loads(request.replace(_SCHEDULED_TIME, f"{now:%Y-%m-%dT%H:%M:%SZ}"))


def _table(manifests: list[Manifest]) -> list[str]:
    width = max([len(one.table) for one in manifests], default=0)
    return [f"{one.table:<{width}}  {one.month:<8} {one.rows:>12,} rows {one.bytes:>14,} bytes" for one in manifests]


def _sum(manifests: list[Manifest]) -> str:
    dated = [one.rows for one in manifests if one.partition != UNDATED]
    undated = sum(one.rows for one in manifests if one.partition == UNDATED)
    rows = f"{counted(sum(dated), 'row')} in {counted(len(dated), 'month')}"
    return f"{rows}, {counted(undated, 'row')} without a month" if undated else rows


def _failure(session: Session, raw_layer: RawLayer, started: Started, ended: executions.Execution) -> Iterator[str]:
    yield f"execution {started.name} has {ended.status}: {ended.error or 'no error is known'}"
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
        yield f"the driver has written no log to {raw_layer.uri(key)}"
        return
    yield f"last lines of {raw_layer.uri(key)}:"
    for line in lines[-_LOG_LINES:]:
        yield f"    {line}"
