"""What the last job of the stack ran on: the first line of its log names the versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aws_setup.checks.findings import Finding, note, warning
from ingest_assets.aws.console_links import job_output_key
from ingest_assets.aws.job_runs import find
from ingest_assets.aws.raw_layer import RawLayerOfBucket
from ingest_assets.aws.stack import Stack
from spark_scripts.contract.wording import RUNTIME_PREFIX

if TYPE_CHECKING:
    from boto3.session import Session

CHECK = "runtime"

_EXECUTIONS = 5  # how many are read; one may have failed before its job began
_UNKNOWN = "the versions of Python, boto3 and Hadoop on EMR are known after the first execution, from its job's log"


def check(session: Session, stack: Stack | None) -> Iterator[Finding]:
    """A note with what the last job ran on, or a warning when `s3://` was EMRFS there."""
    found = _last_line(session, stack) if stack is not None and "StateMachineArn" in stack.outputs else None
    if found is None:
        yield note(CHECK, _UNKNOWN)
    elif ".emr." in found.rpartition(" by ")[2]:  # com.amazon.ws.emr.hadoop.fs.EmrFileSystem
        yield warning(
            CHECK, f"{found}: this is EMRFS, for which the job has no permissions; deploy with a newer ReleaseLabel"
        )
    else:
        yield note(CHECK, found)


def _last_line(session: Session, stack: Stack) -> str | None:
    client = session.client("stepfunctions")
    machine = stack.outputs["StateMachineArn"]
    listed = client.list_executions(stateMachineArn=machine, maxResults=_EXECUTIONS)["executions"]
    lines = (_line(session, stack.outputs["BucketName"], execution["executionArn"]) for execution in listed)
    return next((line for line in lines if line is not None), None)


def _line(session: Session, bucket: str, execution: str) -> str | None:
    run = find(session.client("stepfunctions"), execution)
    if run is None or run.job_run_id is None:
        return None
    lines = RawLayerOfBucket(session.client("s3"), bucket).log_start(job_output_key(run.application_id, run.job_run_id))
    return next((line.removeprefix(RUNTIME_PREFIX) for line in lines if line.startswith(RUNTIME_PREFIX)), None)
