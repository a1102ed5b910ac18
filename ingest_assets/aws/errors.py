"""What AWS's errors mean and what to do about them, in one line each, for Dagster and for the commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as aws

from ingest_assets import environment
from spark_scripts.contract.errors import DataLakeError

_LOCAL = "start Dagster in the local account with `make dev`"
_SIGN_IN = "sign in again (such as `aws sso login`) or renew AWS_SESSION_TOKEN"

_NO_CREDENTIALS = (aws.NoCredentialsError, aws.PartialCredentialsError)
_SIGN_IN_EXPIRED = (aws.SSOError, aws.TokenRetrievalError, aws.CredentialRetrievalError, aws.LoginError)

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_NOT_ACCEPTED = {
    "AuthFailure", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException",
    "InvalidToken", "MissingAuthenticationToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}  # fmt: skip
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
# The codes that botocore itself retries, and those of AWS's common errors that name a fault of the service.
_TRANSIENT = {
    "BandwidthLimitExceeded", "EC2ThrottledException", "InternalError", "InternalFailure", "InternalServerError",
    "InternalServerException", "LimitExceededException", "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
    "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable", "ServiceUnavailableException", "SlowDown",
    "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException",
    "TransactionInProgressException",
}  # fmt: skip


class AwsError(DataLakeError):
    """AWS refused a call, or could not be reached.

    `code` is AWS's name of the error, such as `ThrottlingException`, and empty where AWS gave no answer. `transient`
    says whether the same call may succeed in a moment, `unreached` that AWS was not reached, or does not know the
    caller.
    """

    def __init__(self, message: str, *, code: str = "", transient: bool = False, unreached: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.transient = transient
        self.unreached = unreached


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn botocore's errors into an AwsError that says what was being done and what to do now."""
    try:
        yield
    except (aws.ClientError, aws.BotoCoreError) as error:
        raise explain(error, doing) from error


def explain(error: aws.BotoCoreError | aws.ClientError, doing: str = "") -> AwsError:
    """The error in one line that says what to do; the line begins with what was being done, if that is given."""
    prefix = f"{doing}: " if doing else ""
    if isinstance(error, aws.ClientError):
        return _refused(prefix, error)
    if isinstance(error, _NO_CREDENTIALS):
        text = f"no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or {_LOCAL}"
    elif isinstance(error, aws.NoRegionError):
        text = f"no AWS region: set AWS_DEFAULT_REGION, or {_LOCAL}"
    elif isinstance(error, _SIGN_IN_EXPIRED):
        text = f"the AWS sign-in has expired: {_SIGN_IN}"
    elif isinstance(error, aws.ProfileNotFound):
        text = f"{error}: check AWS_PROFILE"
    elif isinstance(error, (aws.ConnectionError, aws.HTTPClientError)):
        return AwsError(f"{prefix}{_no_answer(error)}", transient=True, unreached=True)
    else:
        return AwsError(f"{prefix}{' '.join(str(error).split())}")
    return AwsError(f"{prefix}{text}", unreached=True)


def error_code(error: aws.ClientError) -> str:
    """AWS's code of the error, such as `ThrottlingException`."""
    return error.response.get("Error", {}).get("Code", "")


def is_denied(error: aws.ClientError) -> bool:
    """Whether AWS refused the call because the caller has no permission for it."""
    return error_code(error) in _DENIED


def _refused(prefix: str, error: aws.ClientError) -> AwsError:
    code = error_code(error)
    if code in _EXPIRED:
        return AwsError(f"{prefix}the AWS session has expired: {_SIGN_IN}", code=code, unreached=True)
    if code in _NOT_ACCEPTED:
        text = f"AWS does not accept the credentials ({code}): check AWS_PROFILE, the keys and the clock"
        return AwsError(f"{prefix}{text}", code=code, unreached=True)
    text = error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    transient = code in _TRANSIENT or status >= 500
    return AwsError(f"{prefix}{error.operation_name}: {text} ({code})", code=code, transient=transient)


def _no_answer(error: aws.BotoCoreError) -> str:
    endpoint = getattr(error, "kwargs", {}).get("endpoint_url") or "AWS"
    if environment.read(environment.ENDPOINT_URL):
        return (
            f"nothing answers at {endpoint}: is the local account running? Start it with `make dev` or"
            " `python -m aws_setup local`"
        )
    return f"cannot reach {endpoint}: check the network and AWS_DEFAULT_REGION, or {_LOCAL}"
