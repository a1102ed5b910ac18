from pathlib import Path

import pytest

from aws_setup.local.dotenv import refuse_dotenv
from aws_setup.local.errors import DotenvError


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("AWS_PROFILE=production", "AWS_PROFILE"),
        ("export AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL"),
        ("  AWS_REGION = 'eu-west-1'", "AWS_REGION"),
        ("DAGSTER_HOME=/srv/dagster", "DAGSTER_HOME"),
        ("'AWS_ACCESS_KEY_ID'=x", "AWS_ACCESS_KEY_ID"),
        ("\ufeffAWS_PROFILE=first line of a file from Windows", "AWS_PROFILE"),
        ("INGEST_STACK=other", "INGEST_STACK"),
    ],
)
def test_a_variable_that_the_account_sets_is_refused(tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\nCOLOUR=blue\n", encoding="utf-8")
    with pytest.raises(DotenvError, match=rf"/\.env sets {name}, and `dagster dev` would use"):
        refuse_dotenv(tmp_path)


def test_each_such_variable_is_named_once_without_its_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_PROFILE=a\nAWS_SECRET_ACCESS_KEY=hush\nAWS_PROFILE=b\n")
    with pytest.raises(DotenvError, match="sets AWS_PROFILE, AWS_SECRET_ACCESS_KEY, and") as refusal:
        refuse_dotenv(tmp_path)
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "# AWS_PROFILE=production", "MY_AWS_PROFILE=x", "POSTGRES_HOST=AWS_REGION=x"])
def test_other_variables_are_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_text(text)
    refuse_dotenv(tmp_path)
    assert (tmp_path / ".env").exists()


def test_without_a_file_nothing_is_refused(tmp_path: Path) -> None:
    refuse_dotenv(tmp_path)
    assert list(tmp_path.iterdir()) == []
