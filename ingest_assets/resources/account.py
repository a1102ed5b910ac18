"""The AWS account: its clients, and the stack's outputs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session
from pydantic import Field, PrivateAttr

from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.stack import StackOutputs, read_stack, stack_name

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
        """The stack's outputs, read once. Raises StackError or AwsError."""
        if self._outputs is None:
            with aws_errors("reading the stack's outputs"):
                self._outputs = StackOutputs.read(self.cloudformation(), self.stack or stack_name())
        return self._outputs

    def parameters(self) -> dict[str, str]:
        """The stack's parameters as they are now. Raises StackError or AwsError."""
        with aws_errors("reading the stack's parameters"):
            return read_stack(self.cloudformation(), self.stack or stack_name()).parameters

    def cloudformation(self) -> CloudFormationClient:
        """A client of CloudFormation."""
        client: CloudFormationClient = _client("cloudformation")
        return client

    def step_functions(self) -> SFNClient:
        """A client of Step Functions."""
        client: SFNClient = _client("stepfunctions")
        return client

    def scheduler(self) -> EventBridgeSchedulerClient:
        """A client of EventBridge Scheduler."""
        client: EventBridgeSchedulerClient = _client("scheduler")
        return client

    def sns(self) -> SNSClient:
        """A client of SNS."""
        client: SNSClient = _client("sns")
        return client

    def sqs(self) -> SQSClient:
        """A client of SQS."""
        client: SQSClient = _client("sqs")
        return client

    def emr_serverless(self) -> EMRServerlessClient:
        """A client of EMR Serverless."""
        client: EMRServerlessClient = _client("emr-serverless")
        return client


def _client(service: str) -> Any:
    """A new client with the credentials and the profile of this moment.

    A sensor asks for clients every 30 seconds, and reading AWS's data files again would cost 0.1 s of CPU each time.
    Not boto3's session: it adds a folder to the loader's search path whenever it is made.
    """
    session = Session()
    session.register_component("data_loader", _loader())
    return session.create_client(service, config=_CONFIG)


@cache
def _loader() -> Loader:
    """The loader of AWS's data files, shared by all clients: it caches the files of each service."""
    loader: Loader = Session().get_component("data_loader")
    return loader
