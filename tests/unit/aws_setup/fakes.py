"""AWS clients that answer from a script: botocore's Stubber, so that calls and answers fit AWS's own models."""

from __future__ import annotations

from typing import Any, cast

import boto3
from boto3.session import Session
from botocore.exceptions import ClientError
from botocore.stub import Stubber

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/data-lake-ingestion/1"
CHANGE_SET = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/deploy-1/1"

_SESSION = boto3.session.Session("key", "secret", region_name="us-east-1")


class FakeSession:
    """A session whose clients are stubbed; `script` holds the expected calls of one service."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._stubbers: dict[str, Stubber] = {}

    def client(self, service: str) -> Any:
        self.script(service)
        return self._clients[service]

    def script(self, service: str) -> Stubber:
        if service not in self._clients:
            self._clients[service] = cast("Any", _SESSION).client(service)
            self._stubbers[service] = Stubber(self._clients[service])
            self._stubbers[service].activate()
        return self._stubbers[service]

    def assert_all_called(self) -> None:
        for stubber in self._stubbers.values():
            stubber.assert_no_pending_responses()

    @property
    def typed(self) -> Session:
        return cast("Session", self)


def client_error(code: str, message: str = "made up") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, "DescribeStacks")
