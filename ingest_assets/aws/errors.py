"""Errors of AWS, in words for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as aws

from spark_scripts.contract.errors import DataLakeError

_START = "For the local account start Dagster with `make dev`"

_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.SSOError,
    aws.ProfileNotFound,
)
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"}
_TRANSIENT = {
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
    "InternalFailure", "InternalServerException", "InternalServerError", "ServiceUnavailable",
    "ServiceUnavailableException", "RequestTimeout",
}  # fmt: skip


class AwsError(DataLakeError):
    """AWS refused, or could not be reached.

    `code` is AWS's name of the error, such as `ThrottlingException`, and empty where AWS gave no answer; `transient`
    says whether the same call may work in a moment.
    """

    def __init__(self, message: str, *, code: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.transient = transient


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn botocore's errors into an AwsError that says what was being done and what to do now."""
    try:
        yield
    except _NO_CREDENTIALS as error:
        raise AwsError(f"{doing}: no AWS credentials ({error}). {_START}; for AWS set AWS_PROFILE or a role") from error
    except aws.NoRegionError as error:
        raise AwsError(f"{doing}: no AWS region. {_START}; for AWS set AWS_DEFAULT_REGION") from error
    except aws.ClientError as error:
        raise _refused(doing, error) from error
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise AwsError(
            f"{doing}: AWS cannot be reached ({error}). {_START}; for AWS check the network and AWS_ENDPOINT_URL",
            transient=True,
        ) from error
    except aws.BotoCoreError as error:
        raise AwsError(f"{doing}: {error}") from error


def error_code(error: aws.ClientError) -> str:
    """AWS's code of the error, such as `ThrottlingException`."""
    return error.response.get("Error", {}).get("Code", "")


def _refused(doing: str, error: aws.ClientError) -> AwsError:
    code = error_code(error)
    if code in _EXPIRED:
        return AwsError(f"{doing}: AWS does not accept the credentials ({error}): renew them", code=code)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return AwsError(f"{doing}: {error}", code=code, transient=code in _TRANSIENT or status >= 500)
