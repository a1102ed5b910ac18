"""The names that the deployed stack gave to its resources, read from its outputs at run time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from spark_scripts.contract.errors import DataLakeError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

DEFAULT_STACK = "data-lake-ingestion"
PROJECT = "data-lake-ingestion"
"""The tag `project` of everything that belongs to this project, in whichever stack."""


class StackError(DataLakeError):
    """The stack is missing or does not have the outputs of this release."""


def stack_name() -> str:
    """The stack of this environment: `INGEST_STACK`, or `data-lake-ingestion`."""
    return os.environ.get("INGEST_STACK") or DEFAULT_STACK


def stack_tags(stack: str) -> dict[str, str]:
    """The tags that `deploy` gives to the stack, and CloudFormation to each of its resources that can have tags."""
    return {"project": PROJECT, "stack": stack}


@dataclass(frozen=True)
class StackOutputs:
    """The outputs of template.yaml that name what Dagster and the commands use."""

    bucket_name: str
    queue_url: str
    success_topic_arn: str
    failure_topic_arn: str
    state_machine_arn: str
    schedule_name: str
    database_secret_arn: str

    @classmethod
    def read(cls, client: CloudFormationClient, stack: str) -> StackOutputs:
        """The outputs of the stack named `stack`. Raises StackError saying what to do when they cannot be had."""
        try:
            description = client.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's word for a missing stack
                raise StackError(
                    f"no stack named {stack}: run `python -m aws_setup deploy`, or set INGEST_STACK"
                ) from error
            raise
        outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
        try:
            return cls(**{field: outputs[_key(field)] for field in cls.__dataclass_fields__})
        except KeyError as missing:
            raise StackError(
                f"stack {stack} ({description['StackStatus']}) has no output {missing}: run `aws_setup deploy`"
            ) from missing


def _key(field: str) -> str:
    return "".join(part.capitalize() for part in field.split("_"))
