"""The clients of the account."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from botocore.loaders import JSONFileLoader

from ingest_assets.resources.account import AwsAccount


def test_a_second_client_reads_none_of_the_data_files_of_aws_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    account = AwsAccount()
    account.sqs()
    with patch.object(JSONFileLoader, "load_file", side_effect=AssertionError("read again")) as read:
        assert account.sqs().meta.service_model.service_name == "sqs"
    read.assert_not_called()


def test_a_client_has_the_credentials_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    keys = []
    for key in ("FIRST", "SECOND"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        keys.append(AwsAccount().sqs()._request_signer._credentials.access_key)  # type: ignore[attr-defined]
    assert keys == ["FIRST", "SECOND"]
