"""What AWS's errors mean for someone at a terminal, in one line each."""

from __future__ import annotations

import os

from botocore import exceptions as aws

from ingest_assets.aws.errors import error_code

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_REFUSED = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "InvalidAccessKeyId",
    "AuthFailure",
    "MissingAuthenticationToken",
}

_SIGN_IN = "sign in again (such as `aws sso login`) or renew AWS_SESSION_TOKEN"


def explain(error: aws.BotoCoreError | aws.ClientError) -> tuple[str, int]:
    """The line to show, and the exit code: 2 where AWS was not reached or does not know the caller, else 1."""
    if isinstance(error, aws.ClientError):
        return _refusal(error)
    if isinstance(error, (aws.NoCredentialsError, aws.PartialCredentialsError)):
        return "no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", 2
    if isinstance(error, aws.NoRegionError):
        return "no AWS region: set AWS_DEFAULT_REGION", 2
    if isinstance(error, (aws.SSOError, aws.TokenRetrievalError, aws.CredentialRetrievalError)):
        return f"the AWS sign-in has expired: {_SIGN_IN}", 2
    if isinstance(error, aws.ProfileNotFound):
        return f"{error}: check AWS_PROFILE", 2
    if isinstance(error, (aws.ConnectionError, aws.HTTPClientError)):
        return _unreached(error), 2
    return " ".join(str(error).split()), 1


def _refusal(error: aws.ClientError) -> tuple[str, int]:
    code = error_code(error)
    text = error.response.get("Error", {}).get("Message", "")
    if code in _EXPIRED:
        return f"the AWS session has expired: {_SIGN_IN}", 2
    if code in _REFUSED:
        return f"AWS does not accept the credentials ({code}): check AWS_PROFILE, the keys and the clock", 2
    return f"{error.operation_name}: {text} ({code})", 1


def _unreached(error: aws.BotoCoreError) -> str:
    endpoint = getattr(error, "kwargs", {}).get("endpoint_url") or "AWS"
    if os.environ.get("AWS_ENDPOINT_URL"):
        return f"nothing answers at {endpoint}: is the local account running? Start it with `python -m aws_setup local`"
    return f"cannot reach {endpoint}: check the network and AWS_DEFAULT_REGION"
