"""Which resources of the stack differ from what CloudFormation created."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from ingest_assets.aws.errors import error_code
from ingest_assets.aws.waiting import polls

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import DescribeStackResourceDriftsInputTypeDef, StackResourceDriftTypeDef

_LONGEST_WAIT_SECONDS = 90.0


@dataclass(frozen=True)
class Drift:
    """The result of a drift detection.

    `state` is CloudFormation's, or UNAVAILABLE when it gave no result. `text` gives the result or the reason.
    `resources` has a line for each resource that was changed or deleted by hand.
    """

    state: Literal["IN_SYNC", "DRIFTED", "UNAVAILABLE"]
    text: str
    resources: tuple[str, ...] = ()


def detect(client: CloudFormationClient, stack: str) -> Drift:
    """Have CloudFormation compare the stack with its resources, and wait at most 90 seconds for the result."""
    try:
        detection = client.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
        found = _wait(client, detection)
        if found.state != "DRIFTED":
            return found
        lines = tuple(_line(one) for one in _changed(client, stack))
    except ClientError as error:
        reason = error.response.get("Error", {}).get("Message", "") or error_code(error)
        return Drift("UNAVAILABLE", f"drift detection is not available: {reason}")
    return Drift("DRIFTED", f"{len(lines)} resources are not as they were deployed", lines)


def _wait(client: CloudFormationClient, detection: str) -> Drift:
    for _ in polls(seconds=_LONGEST_WAIT_SECONDS, pause=0.5, longest_pause=5.0):
        answer = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if answer["DetectionStatus"] == "DETECTION_FAILED":
            return Drift("UNAVAILABLE", f"drift detection failed: {answer.get('DetectionStatusReason', '')}")
        if answer["DetectionStatus"] == "DETECTION_COMPLETE":
            drifted = answer.get("StackDriftStatus") == "DRIFTED"
            return Drift("DRIFTED", "") if drifted else Drift("IN_SYNC", "every resource is as it was deployed")
    return Drift("UNAVAILABLE", "drift detection takes longer than 90 s: try again later")


def _changed(client: CloudFormationClient, stack: str) -> Iterator[StackResourceDriftTypeDef]:
    """The resources that differ. botocore has no paginator for this call."""
    request: DescribeStackResourceDriftsInputTypeDef = {
        "StackName": stack,
        "StackResourceDriftStatusFilters": ["MODIFIED", "DELETED"],
    }
    while True:
        answer = client.describe_stack_resource_drifts(**request)
        yield from answer["StackResourceDrifts"]
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def _line(resource: StackResourceDriftTypeDef) -> str:
    line = f"{resource['LogicalResourceId']} ({resource['ResourceType']}) {resource['StackResourceDriftStatus']}"
    paths = ", ".join(difference["PropertyPath"] for difference in resource.get("PropertyDifferences", []))
    return f"{line}: {paths}" if paths else line
