"""The local account with `dagster dev` in it, as `make dev` starts them, and what they have running.

`dagster dev` is started again when it ends, as a service manager would.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import boto3
import psutil

from aws_setup.local.processes.child import Child
from ingest_assets.aws.stack import DEFAULT_STACK, StackOutputs
from tests.e2e.graphql import Webserver
from tests.e2e.waiting import until

ROOT = Path(__file__).parents[2]

# Prints its environment, then starts the command for ever.
_SUPERVISOR = """
import json, os, subprocess, sys
print(json.dumps(dict(os.environ)), flush=True)
while True:
    subprocess.run(sys.argv[1:], stdout=sys.stderr)
"""
_START_SECONDS = 120


@dataclass(frozen=True)
class JobRun:
    """A job run of EMR Serverless, by the name of its execution."""

    execution: str
    state: str
    application_id: str
    application_state: str
    id: str


@dataclass(frozen=True)
class Services:
    """The running account and Dagster. `pid` is the top of their process tree."""

    environment: dict[str, str] = field(repr=False)  # secrets, which a failing test would print
    webserver: Webserver
    pid: int
    log: Path

    def client(self, service: str) -> Any:
        """A client of the account. The environment of the tests themselves leads elsewhere."""
        session: Any = boto3.session.Session(
            self.environment["AWS_ACCESS_KEY_ID"],
            self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.environment["AWS_ENDPOINT_URL"])

    @property
    def outputs(self) -> StackOutputs:
        """What the stack calls its resources."""
        return StackOutputs.read(self.client("cloudformation"), DEFAULT_STACK)

    @property
    def bucket(self) -> Path:
        """The folder behind the bucket."""
        return Path(self.environment["LAKE_DIR"]) / self.outputs.bucket_name

    def status(self, execution: str) -> str:
        """The status of the execution."""
        return str(self._described(execution)["status"])

    def times(self, execution: str) -> tuple[datetime, datetime]:
        """When the execution, which has ended, began and ended."""
        described = self._described(execution)
        return described["startDate"], described["stopDate"]

    def tell_status(self, execution: str) -> None:
        """Send the event of EventBridge about an execution that has ended to the queue."""
        described = self._described(execution)
        detail = {"executionArn": described["executionArn"], "status": described["status"], "input": described["input"]}
        body = json.dumps({"detail-type": "Step Functions Execution Status Change", "detail": detail})
        self.client("sqs").send_message(QueueUrl=self.outputs.queue_url, MessageBody=body)

    def _described(self, execution: str) -> dict[str, Any]:
        arn = f"{self.outputs.state_machine_arn.replace(':stateMachine:', ':execution:')}:{execution}"
        described: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
        return described

    def job_runs(self, prefix: str) -> list[JobRun]:
        """Every job run of an execution whose name begins like this."""
        client = self.client("emr-serverless")
        return [
            JobRun(run["name"], run["state"], application["id"], application["state"], run["id"])
            for application in client.list_applications()["applications"]
            for run in client.list_job_runs(applicationId=application["id"])["jobRuns"]
            if run["name"].startswith(prefix)
        ]

    def usage(self, execution: str) -> dict[str, float]:
        """What the one job run of the execution is billed for, in EMR Serverless's units."""
        [run] = self.job_runs(execution)
        found = self.client("emr-serverless").get_job_run(applicationId=run.application_id, jobRunId=run.id)
        billed: dict[str, float] = found["jobRun"]["billedResourceUtilization"]
        return billed

    def processes(self, *words: str) -> list[psutil.Process]:
        """What runs, and has all of these words in its command line."""
        found = []
        for process in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                line = " ".join(process.cmdline())
                if process.status() != psutil.STATUS_ZOMBIE and all(word in line for word in words):
                    found.append(process)
        return found

    def told(self) -> str:
        """The end of what the account and Dagster wrote."""
        return self.log.read_text(errors="replace")[-5000:]


@contextmanager
def started(folder: Path, tables: Path, port: int) -> Iterator[Services]:
    """The account over `folder` with Dagster's webserver on `port`; nothing of them is left at the end."""
    dev = ["dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
    command: list[str | Path] = [sys.executable, "-m", "aws_setup", "local", "--home", folder / "home", "--"]
    environment = {**os.environ, "INGEST_TABLES": str(tables), "INGEST_AUTOMATION": "sensors"}
    log = folder / "log"
    with (
        log.open("wb") as errors,
        Child(
            [*command, sys.executable, "-c", _SUPERVISOR, *dev],
            env=environment,
            cwd=ROOT,
            stdout=PIPE,
            stderr=errors,
            grace=30,
        ) as child,
    ):
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, f"the local account did not start: {log.read_text()}"
        services = Services(json.loads(line), Webserver(port), child.pid, log)
        until(services.webserver.loaded, _START_SECONDS, services.told)
        yield services
        running = services.processes()
    assert running
    assert not [process for process in running if process.is_running()]
