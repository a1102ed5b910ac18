import os

import pytest

from aws_setup.local.environment import applied, aws_variables, foreign


def test_the_user_s_own_aws_settings_are_removed_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    before = dict(os.environ)
    variables = aws_variables("ours", "secret")
    assert foreign(variables) == ["AWS_PROFILE", "AWS_SESSION_TOKEN"]
    with applied(variables):
        assert os.environ["AWS_ACCESS_KEY_ID"] == "ours"
        assert "AWS_PROFILE" not in os.environ
        assert "AWS_SESSION_TOKEN" not in os.environ
    assert dict(os.environ) == before


def test_a_proxy_is_not_asked_for_the_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com,localhost")
    variables = aws_variables("key", "secret")
    assert variables["NO_PROXY"] == variables["no_proxy"] == "example.com,localhost,127.0.0.1"
