"""Temporary credentials of roles, so that each call is made by the same principal as on AWS.

moto 5.2.5 executes the tasks of a state machine with invented keys (`boto_client_for`). Delete `install` when that
function uses its argument `state_credentials`.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from moto.settings import moto_server_port
from moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials import StateCredentials
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_sns,
    state_task_service_sqs,
)
from moto.sts.models import sts_backends

from aws_setup.local.emulator.core.patching import replace_attribute

_CALLERS = (state_task_service_aws_sdk, state_task_service_sns, state_task_service_sqs)
_SESSION = "AssumedByService"
_HOUR = 3600


@dataclass(frozen=True)
class Keys:
    """An access key with its secret."""

    access: str
    secret: str = field(repr=False)


def assume(role_arn: str, session: str, region: str, keys: Keys | None = None) -> dict[str, str]:
    """The variables that make a process act as the role, so that GetCallerIdentity returns the role.

    `keys` replaces the keys of STS, for S3, which is another server and accepts only keys that it knows. The policies
    of the role are not enforced.
    """
    account = role_arn.split(":")[4]
    role = sts_backends[account]["aws"].assume_role(
        region_name=region, role_session_name=session, role_arn=role_arn, policy="", duration=_HOUR, external_id=""
    )
    if keys is not None:
        role.access_key_id, role.secret_access_key = keys.access, keys.secret
    return {
        "AWS_ACCESS_KEY_ID": role.access_key_id,
        "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
        "AWS_SESSION_TOKEN": role.session_token,
    }


_s3_keys: Keys | None = None
"""The keys of roles that call S3 where that is another server; None where it is this one."""


def install(stack: ExitStack, s3_keys: Keys | None) -> None:
    """Make the tasks of state machines act as their roles until `stack` closes, at another S3 server with `s3_keys`."""
    replace_attribute(stack, sys.modules[__name__], "_s3_keys", s3_keys)
    for module in _CALLERS:
        replace_attribute(stack, module, "boto_client_for", client_for)
    stack.callback(_assumed.cache_clear)


@cache
def _assumed(role_arn: str, region: str, keys: Keys | None) -> dict[str, str]:
    return assume(role_arn, _SESSION, region, keys)


def client_for(region: str, service: str, state_credentials: StateCredentials) -> Any:
    """A client for this account that acts as the role of the state."""
    elsewhere = _s3_keys if service == "s3" else None
    keys = _assumed(state_credentials.role_arn, region, elsewhere)
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"] if elsewhere else f"http://localhost:{moto_server_port()}"
    make: Any = boto3.client  # the service is a variable, for which there is no overload
    return make(
        service_name=service,
        region_name=region,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=keys["AWS_SESSION_TOKEN"],
        endpoint_url=endpoint,
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )
