from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as aws
from botocore.retries import standard

from ingest_assets.aws.errors import AwsError, aws_errors, explain
from ingest_assets.resources.account import AwsAccount
from tests.unit.ingest_assets.fakes import client_error

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("error", "text", "transient", "unreached"),
    [
        (aws.NoCredentialsError(), r"starting: no AWS credentials: set AWS_PROFILE .* `make dev`", False, True),
        (aws.NoRegionError(), r"starting: no AWS region: set AWS_DEFAULT_REGION, .* `make dev`", False, True),
        (aws.UnauthorizedSSOTokenError(), r"starting: the AWS sign-in has expired: sign in again", False, True),
        (aws.LoginRefreshRequired(), r"starting: the AWS sign-in has expired: sign in again", False, True),
        (aws.ProfileNotFound(profile="work"), r"starting: .*\(work\) .* check AWS_PROFILE", False, True),
        (aws.EndpointConnectionError(endpoint_url=URL), rf"starting: cannot reach {URL}: check the", True, True),
        (aws.ReadTimeoutError(endpoint_url=URL), rf"starting: cannot reach {URL}", True, True),
        (client_error("ThrottlingException"), r"starting: Call: made up \(ThrottlingException\)", True, False),
        (client_error("Whatever", status=503), r"starting: Call: made up \(Whatever\)", True, False),
        (client_error("ExpiredToken"), r"starting: the AWS session has expired: .* AWS_SESSION_TOKEN", False, True),
        (client_error("RequestExpired"), r"starting: the AWS session has expired", False, True),
        (client_error("InvalidToken"), r"starting: AWS does not accept the credentials \(InvalidToken\)", False, True),
        (client_error("AccessDenied", "no right to"), r"starting: Call: no right to \(AccessDenied\)", False, False),
        (aws.ParamValidationError(report="x"), r"starting: Parameter validation failed", False, False),
    ],
)  # fmt: skip
def test_an_error_of_aws_says_in_one_line_what_was_done_and_what_to_do(
    error: Exception, text: str, transient: bool, unreached: bool
) -> None:
    with pytest.raises(AwsError, match=rf"^{text}.*$") as raised, aws_errors("starting"):
        raise error
    assert (raised.value.transient, raised.value.unreached) == (transient, unreached)
    assert raised.value.__cause__ is error


def test_a_local_account_that_does_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", URL)
    assert str(explain(aws.EndpointConnectionError(endpoint_url=URL))) == (
        f"nothing answers at {URL}: is the local account running?"
        " Start it with `make dev` or `python -m aws_setup local`"
    )


def test_every_error_that_botocore_retries_is_transient() -> None:
    own: Any = standard  # its lists are not in the stubs
    codes = [
        *own.TransientRetryableChecker._TRANSIENT_ERROR_CODES,
        *own.ThrottledRetryableChecker._THROTTLED_ERROR_CODES,
    ]
    assert [code for code in codes if not explain(client_error(code)).transient] == []


def test_without_region_and_credentials_the_account_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AwsError, match="no AWS region"):
        AwsAccount().outputs()
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(AwsError, match="no AWS credentials"):
        AwsAccount().outputs()


def test_the_stack_s_outputs_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def read(_: object, stack: str) -> str:
        asked.append(stack)
        return f"outputs of {stack}"

    monkeypatch.setattr("ingest_assets.resources.account.StackOutputs.read", read)
    monkeypatch.setattr(AwsAccount, "cloudformation", lambda _: None)
    monkeypatch.setenv("INGEST_STACK", "mine")
    account = AwsAccount()
    assert [str(account.outputs()), str(account.outputs())] == ["outputs of mine"] * 2
    assert str(AwsAccount(stack="given").outputs()) == "outputs of given"
    assert asked == ["mine", "given"]
