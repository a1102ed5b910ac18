"""The AWS account: its clients, and the names that the stack gave to its resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import dagster as dg
from botocore.config import Config
from pydantic import Field, PrivateAttr

from ingest_assets.aws import aws_errors
from ingest_assets.stack import StackOutputs, stack_name

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_emr_serverless import EMRServerlessClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# "standard" backs off and retries what AWS calls transient and throttling, with 20 s at most between two tries.
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60)


class AwsAccount(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """The account that the environment's standard AWS variables point at."""

    stack: str | None = Field(default=None, description="Name of the stack. Default: INGEST_STACK.")

    _outputs: StackOutputs | None = PrivateAttr(default=None)

    def outputs(self) -> StackOutputs:
        """What the stack calls its resources; asked once. Raises StackError or AwsError."""
        if self._outputs is None:
            with aws_errors("reading the stack's outputs"):
                self._outputs = StackOutputs.read(self.cloudformation(), self.stack or stack_name())
        return self._outputs

    def cloudformation(self) -> CloudFormationClient:
        """A client of CloudFormation."""
        return boto3.session.Session().client("cloudformation", config=_CONFIG)

    def step_functions(self) -> SFNClient:
        """A client of Step Functions."""
        return boto3.session.Session().client("stepfunctions", config=_CONFIG)

    def scheduler(self) -> EventBridgeSchedulerClient:
        """A client of EventBridge Scheduler."""
        return boto3.session.Session().client("scheduler", config=_CONFIG)

    def sns(self) -> SNSClient:
        """A client of SNS."""
        return boto3.session.Session().client("sns", config=_CONFIG)

    def sqs(self) -> SQSClient:
        """A client of SQS."""
        return boto3.session.Session().client("sqs", config=_CONFIG)

    def emr_serverless(self) -> EMRServerlessClient:
        """A client of EMR Serverless."""
        return boto3.session.Session().client("emr-serverless", config=_CONFIG)
