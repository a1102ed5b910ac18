from __future__ import annotations

import pytest
from botocore import exceptions as aws

from ingest_assets.aws.errors import AwsError, aws_errors
from ingest_assets.resources.account import AwsAccount
from tests.unit.ingest_assets.fakes import client_error

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("error", "text", "transient"),
    [
        (
            aws.NoCredentialsError(),
            r"starting: no AWS credentials .* start Dagster with `make dev`; .* AWS_PROFILE",
            False,
        ),
        (aws.NoRegionError(), r"starting: no AWS region. .* set AWS_DEFAULT_REGION", False),
        (aws.EndpointConnectionError(endpoint_url=URL), rf"AWS cannot be reached \(.*{URL}.*`make dev`", True),
        (aws.ReadTimeoutError(endpoint_url=URL), r"AWS cannot be reached", True),
        (client_error("ThrottlingException"), r"starting: .*ThrottlingException", True),
        (client_error("Whatever", status=503), r"starting: .*Whatever", True),
        (client_error("ExpiredToken"), r"does not accept the credentials .* renew them", False),
        (
            client_error("AccessDeniedException", "no right to"),
            r".*AccessDeniedException.*: no right to",
            False,
        ),
        (aws.ParamValidationError(report="x"), r"starting: Parameter validation failed", False),
    ],
)
def test_an_error_of_aws_says_what_was_done_and_what_to_do(error: Exception, text: str, transient: bool) -> None:
    with pytest.raises(AwsError, match=text) as raised, aws_errors("starting"):
        raise error
    assert raised.value.transient is transient
    assert raised.value.__cause__ is error


def test_without_region_and_credentials_the_account_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AwsError, match="no AWS region"):
        AwsAccount().outputs()
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(AwsError, match="no AWS credentials"):
        AwsAccount().outputs()


def test_the_stack_s_outputs_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
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
