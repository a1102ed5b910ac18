"""What was recorded, as requests to IAM.

botocore's models do not say which action an operation needs; the differences are in the Service Authorization
Reference (https://docs.aws.amazon.com/service-authorization/latest/reference/).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws_setup.local.environment import REGION
from tests.access.policies import Request

ACCOUNT = "123456789012"
_PREFIXES = {"stepfunctions": "states", "emr": "elasticmapreduce", "resourcegroupstaggingapi": "tag"}
_ACTIONS = {
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "ListObjectVersions"): "s3:ListBucketVersions",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "DeleteObjects"): "s3:DeleteObject",
    ("s3", "CopyObject"): "s3:PutObject",  # and s3:GetObject on what is copied
    ("sqs", "DeleteMessageBatch"): "sqs:DeleteMessage",
}
_TAGGING = ("CreateApplication", "StartJobRun")


@dataclass(frozen=True)
class Call:
    """A call of an AWS API: by whom, which operation, on what."""

    principal: str
    service: str
    operation: str
    parameters: Mapping[str, Any]
    context: Mapping[str, str] = field(default_factory=dict)

    def request(self, stack_id: str) -> Request:
        """The request to IAM that it is."""
        return Request(self.principal, action_of(self.service, self.operation), self._resource(stack_id), self.context)

    def _resource(self, stack_id: str) -> str:
        parameters = self.parameters
        if self.service == "s3":
            key = f"/{parameters['Key']}" if "Key" in parameters else ""
            return f"arn:aws:s3:::{parameters['Bucket']}{key}"
        if self.service == "emr-serverless":
            return _arn("emr-serverless", _application(parameters))
        if self.service == "sqs":
            return _arn("sqs", parameters["QueueUrl"].rpartition("/")[2])
        if self.service == "scheduler":
            return _arn("scheduler", f"schedule/default/{parameters['Name']}")
        if self.service == "cloudformation":
            return stack_id
        if self.service == "glue":
            return _arn("glue", _glue(parameters))
        named = ("TopicArn", "SecretId", "executionArn", "stateMachineArn")
        return next(str(parameters[name]) for name in named if name in parameters)


def action_of(service: str, operation: str) -> str:
    """The action of IAM that an operation needs."""
    return _ACTIONS.get((service, operation), f"{_PREFIXES.get(service, service)}:{operation}")


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _application(parameters: Mapping[str, Any]) -> str:
    if "applicationId" not in parameters:
        return "/applications"
    run = f"/jobruns/{parameters['jobRunId']}" if "jobRunId" in parameters else ""
    return f"/applications/{parameters['applicationId']}{run}"


def _glue(parameters: Mapping[str, Any]) -> str:
    """The narrowest resource; the catalog and the database above it are asked for as well."""
    database = parameters.get("DatabaseName") or parameters.get("Name") or parameters["DatabaseInput"]["Name"]
    table = parameters.get("TableName") or parameters.get("TableInput", {}).get("Name")
    if table is None and "DatabaseName" in parameters:
        table = parameters.get("Name")
    return f"table/{database}/{table}" if table else f"database/{database}"


def read(file: Path) -> Iterator[Call]:
    """The calls by the state machine, the job and the host, once each; those of the account's own making are left out.

    The key that signed a call tells its role; the last lines of the file say which key is whose.
    """
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    roles = {line["access_key"]: line["role"] for line in lines if "role" in line}
    tags = _tags(lines)
    seen: set[str] = set()
    for line in lines:
        principal = _principal(line, roles)
        key = json.dumps([principal, line], sort_keys=True)
        if principal is not None and key not in seen:
            seen.add(key)
            context = tags if line["service"] == "emr-serverless" else {}
            yield Call(principal, line["service"], line["operation"], line["parameters"], context)


def _tags(lines: list[Any]) -> dict[str, str]:
    """The tags of every application and job run: here they are all the state machine's, and have the same."""
    given = [line["parameters"].get("tags") for line in lines if line.get("operation") in _TAGGING]
    assert given
    assert all(tags == given[0] for tags in given)
    return {f"aws:ResourceTag/{key}": value for key, value in given[0].items()}


def _principal(line: Mapping[str, Any], roles: Mapping[str, str]) -> str | None:
    if "service" not in line:
        return None
    role = roles.get(line["access_key"], "")
    known = {"JobRole": "job", "StateMachineRole": "state machine"}
    by_role = next((principal for name, principal in known.items() if name in role), None)
    return by_role or ("host" if line["process"] == "host" else None)
