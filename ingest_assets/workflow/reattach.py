"""Which execution a Dagster run follows: a new one, or the one that an earlier run started before its worker died.

When a worker dies, Dagster's `run_retries` starts another run, which must follow the same execution. The name of an
execution is therefore made from the first run of such a chain, the table, the months and the number of the attempt; a
run takes the first attempt that has not failed. A re-execution by hand starts a chain of its own and always ingests
again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import dagster as dg
from botocore.exceptions import ClientError

from ingest_assets._compat import RETRY_NUMBER_TAG
from ingest_assets.aws.errors import error_code
from ingest_assets.aws.executions import Execution, describe, execution_arn

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# StartExecution takes 80 characters; 64 are the most that EMR Serverless takes as a client token.
_TABLE_LENGTH = 20


@dataclass(frozen=True)
class Attempt:
    """An execution to start, or to follow if AWS has it already (`found`)."""

    name: str
    state_machine_arn: str
    found: Execution | None = None

    @property
    def arn(self) -> str:
        """The ARN that the execution has or will have."""
        return execution_arn(self.state_machine_arn, self.name)


def first_run_id(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The id of the run that `run` retries automatically, directly or through other retries; else its own id.

    Dagster's root run id would not do, because a re-execution by hand has that of the run that it repeats.
    """
    while RETRY_NUMBER_TAG in run.tags and run.parent_run_id:
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None:  # deleted from the history
            return run.parent_run_id
        run = parent
    return run.run_id


def execution_name(run_id: str, table: str, months: Sequence[str], attempt: int) -> str:
    """The name of an execution, such as `orders-2024-02-to-2024-03-1f2e3d4c-0a1b2c3d-1`.

    Without months, for a refresh of the whole table, it is such as `orders-refresh-1f2e3d4c-0a1b2c3d-1`. It is always
    the same for the same arguments, has only letters, digits, `_` and `-`, and at most 63 characters.
    """
    months = sorted(months)
    span = "-to-".join(dict.fromkeys([months[0], months[-1]])) if months else "refresh"
    digest = hashlib.sha256("\n".join([run_id, table, *months]).encode()).hexdigest()[:8]
    return f"{table[:_TABLE_LENGTH]}-{span}-{run_id[:8]}-{digest}-{attempt}"


def choose(client: SFNClient, state_machine_arn: str, name_of: Callable[[int], str]) -> Attempt:
    """The first attempt that has not failed: not started yet, running, or succeeded. `name_of` counts from 1."""
    for number in count(1):
        attempt = Attempt(name_of(number), state_machine_arn)
        found = _describe(client, attempt.arn)
        if found is None or found.status in ("RUNNING", "SUCCEEDED"):
            return replace(attempt, found=found)
    raise AssertionError("count() does not end")


def _describe(client: SFNClient, arn: str) -> Execution | None:
    try:
        return describe(client, arn)
    except ClientError as error:
        if error_code(error) == "ExecutionDoesNotExist":
            return None
        raise
