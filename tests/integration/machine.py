"""A deployed state machine, the executions that a test starts, and what they tell."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3

from ingest_assets.aws import executions
from ingest_assets.aws.executions import Execution
from ingest_assets.aws.stack import StackOutputs

RELEASED = ["EMR Serverless StopApplication", "EMR Serverless DeleteApplication"]
CREATED = ["EMR Serverless CreateApplication", "EMR Serverless StartApplication", "EMR Serverless StartJobRun"]
CANCELLED = ["List job runs", "EMR Serverless CancelJobRun"]
TASKS = {*CREATED, *CANCELLED, *RELEASED, "SuccessNotification", "FailureNotification", "SendMessageToSQS"}
_NUMBERS = itertools.count()
_POLL_SECONDS = 0.2  # a look costs client and server together 30 ms


@cache
def _client(session: boto3.session.Session, service: Any) -> Any:
    return session.client(service)


@dataclass
class Machine:
    """A state machine and what is around it."""

    session: boto3.session.Session
    outputs: StackOutputs

    def start(self, request: object) -> str:
        arn: str = _client(self.session, "stepfunctions").start_execution(
            stateMachineArn=self.outputs.state_machine_arn,
            name=f"test-{next(_NUMBERS)}",
            input=json.dumps(request),
        )["executionArn"]
        return arn

    def end(self, arn: str) -> Execution:
        client = _client(self.session, "stepfunctions")
        return executions.follow(client, arn, lambda _: None, poll_seconds=_POLL_SECONDS, deadline_seconds=60)

    def run(self, request: object) -> Execution:
        return self.end(self.start(request))

    def states(self, execution: Execution) -> list[str]:
        """The tasks that the execution went through."""
        changes = executions.state_changes(_client(self.session, "stepfunctions"), execution.arn)
        return [change.state for change in changes if change.state in TASKS]

    def messages(self, execution: Execution) -> list[dict[str, Any]]:
        """The two messages of the execution itself, taken off the queue."""
        return self._taken(2, lambda body: body.get("execution_arn") == execution.arn)

    def events(self, arn: str, count: int) -> list[dict[str, Any]]:
        """The first `count` events of EventBridge about the execution, taken off the queue."""
        return self._taken(count, lambda body: body.get("detail", {}).get("executionArn") == arn)

    def _taken(self, count: int, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        client, url = _client(self.session, "sqs"), self.outputs.queue_url
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 10
        while len(found) < count and time.monotonic() < deadline:
            for message in client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                body = json.loads(message["Body"])
                body = json.loads(body["Message"]) if "TopicArn" in body else body
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found += [body] if wanted(body) else []
        return found

    def applications(self, *states: Any) -> list[str]:
        pages = _client(self.session, "emr-serverless").get_paginator("list_applications").paginate(states=states)
        return [one["id"] for page in pages for one in page["applications"]]

    def kept_application(self) -> str:
        """An application of a person's own."""
        client = self.session.client("emr-serverless")
        return client.create_application(clientToken="kept", name="kept", releaseLabel="emr-7.14.0", type="SPARK")[
            "applicationId"
        ]
