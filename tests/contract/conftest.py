"""The account that the contract is tested on: the local one, or a real one when AWS_CONTRACT_STACK names a stack there.

On a real account the tests use the caller's credentials and region. They read, deploy this checkout again when that
changes nothing, and start two executions: one that is refused, and one that ingests a month (AWS_CONTRACT_INPUT, JSON;
default: February 2024 of the sample table). Subscribers of the topics get a mail for each. The stack's queue is not
read: what the topics send is read from a queue that the tests make and delete.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from ingest_assets.aws.messages import Notification, parse
from ingest_assets.aws.stack import StackOutputs
from tests.integration.conftest import Account

_PATIENCE_SECONDS = 900.0


@dataclass(frozen=True)
class Environment:
    """A deployed stack. `real`: in AWS."""

    session: boto3.session.Session
    stack: str
    real: bool

    @property
    def outputs(self) -> StackOutputs:
        """The outputs that this project reads."""
        return StackOutputs.read(self.session.client("cloudformation"), self.stack)

    def description(self) -> Any:
        """The stack, as CloudFormation describes it."""
        return self.session.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]

    def output(self, key: str) -> str:
        """One output."""
        found: dict[str, str] = {one["OutputKey"]: one["OutputValue"] for one in self.description()["Outputs"]}
        return found[key]

    def attributes(self, url: str) -> Any:
        """All attributes of a queue, documents parsed."""
        found: Any = self.session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {**found, **{key: json.loads(found[key]) for key in ("Policy", "RedrivePolicy") if key in found}}


@pytest.fixture(scope="module")
def aws(request: pytest.FixtureRequest) -> Iterator[Environment]:
    """The account with the stack."""
    if stack := os.environ.get("AWS_CONTRACT_STACK"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INGEST_STACK", stack)
            yield Environment(boto3.session.Session(), stack, real=True)
        return
    account: Account = request.getfixturevalue("account")
    session = boto3.session.Session(region_name=account.environment["AWS_REGION"])
    yield Environment(session, account.environment["INGEST_STACK"], real=False)


class Mailbox:
    """A queue of the tests' own that gets what both topics send."""

    def __init__(self, aws: Environment) -> None:
        self._sqs, self._sns = aws.session.client("sqs"), aws.session.client("sns")
        topics = [aws.output("SuccessTopicArn"), aws.outputs.failure_topic_arn]
        self.url = self._sqs.create_queue(QueueName=f"contract-{secrets.token_hex(6)}")["QueueUrl"]
        self._subscriptions: list[str] = []
        arn = aws.attributes(self.url)["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        for topic in topics:
            made = self._sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
            self._subscriptions.append(made["SubscriptionArn"])

    def of(self, execution: str) -> tuple[dict[str, Any], Notification]:
        """What a topic sent about the execution: SNS's envelope, and what this project reads in it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = self._sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=5)
            for message in answer.get("Messages", []):
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                notification = parse(message["Body"])
                if notification.execution_arn == execution:
                    return json.loads(message["Body"]), notification
        raise AssertionError(f"no topic has told of {execution}")

    def close(self) -> None:
        """Leave nothing behind."""
        for arn in self._subscriptions:
            self._sns.unsubscribe(SubscriptionArn=arn)
        self._sqs.delete_queue(QueueUrl=self.url)


@pytest.fixture(scope="module")
def mailbox(aws: Environment) -> Iterator[Mailbox]:
    """What the topics send while these tests run."""
    with closing(Mailbox(aws)) as mailbox:
        yield mailbox
