"""A whole run with every call recorded, and the policies of the stack that it ran in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.session import Session

from aws_setup.local.environment import REGION
from tests.access import calls, policies, recorder
from tests.access.account import KEY
from tests.access.policies import Policies, Request
from tests.access.unseen import Names, Unseen, unseen

_HOST_SECONDS = 400.0
_END_SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """What was asked of IAM, recorded and known, and what the deployed policies are."""

    recorded: tuple[tuple[calls.Call, Request], ...]
    unseen: tuple[Unseen, ...]
    policies: Policies

    @property
    def requests(self) -> list[Request]:
        """All of them."""
        return [*(request for _, request in self.recorded), *(one.request for one in self.unseen)]


def record(folder: Path) -> Run:
    """Run the account and a Dagster host in it below `folder`. Raises RuntimeError with the host's messages."""
    file = folder / "calls.jsonl"
    with _account(folder / "home", file) as variables:
        environ = {**os.environ, **variables, recorder.PROCESS: "host", "PYTHONPATH": ""}
        command = [sys.executable, "-m", "tests.access.host"]
        host = subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=_HOST_SECONDS)
        if host.returncode:
            raise RuntimeError(f"the host failed: {host.stderr[-3000:]}")
        session = Session(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
        with _endpoint(variables["AWS_ENDPOINT_URL"]):
            stack = session.client("cloudformation").describe_stacks(StackName=variables["INGEST_STACK"])["Stacks"][0]
            found, names = policies.read(session, stack["StackName"]), _names(session, stack["StackName"])
    recorded = [(call, call.request(stack["StackId"])) for call in calls.read(file)]
    return Run(tuple(recorded), tuple(unseen(names)), found)


@contextmanager
def _account(home: Path, file: Path) -> Iterator[Mapping[str, str]]:
    """The variables of a running account. It ends with its standard input."""
    command = [sys.executable, "-m", "tests.access.account", str(home), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            started = process.stdout.readline()
            if not started:
                raise RuntimeError("the account did not start: its messages are on standard error")
            yield json.loads(started)
        finally:
            process.stdin.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # its guard ends what it has started
                raise


@contextmanager
def _endpoint(url: str) -> Iterator[None]:
    """All services at one place: the settings of the bucket are in the account, its objects elsewhere."""
    before = {name: os.environ.pop(name, None) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")}
    os.environ["AWS_ENDPOINT_URL"] = url
    try:
        yield
    finally:
        del os.environ["AWS_ENDPOINT_URL"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _names(session: Session, stack: str) -> Names:
    ids = policies.resource_ids(session, stack)
    sqs, events, alarms = session.client("sqs"), session.client("events"), session.client("cloudwatch")

    def queue(name: str) -> str:
        attributes = sqs.get_queue_attributes(QueueUrl=ids[name], AttributeNames=["QueueArn"])["Attributes"]
        return attributes["QueueArn"]

    def alarm(name: str) -> str:
        found: Any = alarms.describe_alarms(AlarmNames=[ids[name]])["MetricAlarms"]
        return str(found[0]["AlarmArn"])

    return Names(
        bucket=f"arn:aws:s3:::{ids['Bucket']}",
        queue=queue("Queue"),
        dead_letters=queue("DeadLetterQueue"),
        schedule_dead_letters=queue("ScheduleDeadLetterQueue"),
        success_topic=ids["SuccessTopic"],
        failure_topic=ids["FailureTopic"],
        alarm_topic=ids["AlarmTopic"],
        state_machine=ids["StateMachine"],
        job_role=session.client("iam").get_role(RoleName=ids["JobRole"])["Role"]["Arn"],
        key=KEY,
        failed_rule=events.describe_rule(Name=ids["ExecutionFailed"])["Arn"],
        lost_rule=events.describe_rule(Name=ids["ExecutionLost"])["Arn"],
        alarm=alarm("DeadLetterAlarm"),
        schedule_alarm=alarm("ScheduleDeadLetterAlarm"),
    )
