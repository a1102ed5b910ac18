"""The deployed stack: its status, its parameters, and the names of its resources from its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ingest_assets import environment
from ingest_assets.aws.errors import error_code
from spark_scripts.contract.errors import DataLakeError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

DEFAULT_STACK = "data-lake-ingestion"
PROJECT = "data-lake-ingestion"
"""The value of the tag `project`, which everything of this project has in every stack."""


# A stack in REVIEW_IN_PROGRESS has only change sets. RetainExceptOnCreate deletes what a failed creation made.
_NEVER_MADE = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")


class StackError(DataLakeError):
    """The stack is missing or does not have the outputs of this release."""


def stack_name() -> str:
    """The stack of this environment: `INGEST_STACK`, or `data-lake-ingestion`."""
    return environment.read(environment.STACK) or DEFAULT_STACK


def stack_tags(stack: str) -> dict[str, str]:
    """The tags that `deploy` gives to the stack. CloudFormation adds them to each resource that can have tags."""
    return {"project": PROJECT, "stack": stack}


@dataclass(frozen=True)
class Stack:
    """What DescribeStacks says about a stack. `id` finds the stack even after it was deleted.

    `changed` is the time of the last update, else of the creation.
    """

    id: str
    name: str
    status: str
    changed: datetime
    parameters: dict[str, str]
    outputs: dict[str, str]

    @property
    def changing(self) -> bool:
        """Whether CloudFormation works on the stack, or the stack waits for its first change set."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def made(self) -> bool:
        """Whether the stack has resources that an update can change: its creation or its first import succeeded."""
        if self.status == "IMPORT_ROLLBACK_COMPLETE":  # a stack that existed before the import has outputs
            return bool(self.outputs)
        return self.status not in _NEVER_MADE


def find_stack(client: CloudFormationClient, name: str) -> Stack | None:
    """The stack with this name or id, None when there is none."""
    try:
        answer = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error_code(error) == "ValidationError":  # CloudFormation's code for a missing stack
            return None
        raise
    return Stack(
        id=answer["StackId"],
        name=answer["StackName"],
        status=answer["StackStatus"],
        changed=answer.get("LastUpdatedTime", answer["CreationTime"]),
        parameters={entry["ParameterKey"]: entry.get("ParameterValue", "") for entry in answer.get("Parameters", [])},
        outputs={entry["OutputKey"]: entry["OutputValue"] for entry in answer.get("Outputs", [])},
    )


def read_stack(client: CloudFormationClient, name: str) -> Stack:
    """The stack with this name. Raises StackError when there is none."""
    stack = find_stack(client, name)
    if stack is None:
        raise StackError(f"no stack named {name}: run `python -m aws_setup deploy`, or set INGEST_STACK")
    return stack


@dataclass(frozen=True)
class StackOutputs:
    """The outputs of template.yaml that Dagster and the commands use."""

    bucket_name: str
    queue_url: str
    failure_topic_arn: str
    state_machine_arn: str
    schedule_name: str
    database_secret_arn: str

    @classmethod
    def read(cls, client: CloudFormationClient, stack: str) -> StackOutputs:
        """The outputs of the stack named `stack`. Raises StackError when the stack or one of its outputs is missing."""
        return cls.of(read_stack(client, stack))

    @classmethod
    def of(cls, stack: Stack) -> StackOutputs:
        """The outputs of this stack. Raises StackError when one is missing."""
        try:
            return cls(**{field: stack.outputs[_key(field)] for field in cls.__dataclass_fields__})
        except KeyError as missing:
            raise StackError(
                f"stack {stack.name} ({stack.status}) has no output {missing}: run `python -m aws_setup deploy`"
            ) from missing


def _key(field: str) -> str:
    return "".join(part.capitalize() for part in field.split("_"))
