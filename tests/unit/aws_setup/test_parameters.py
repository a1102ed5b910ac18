from __future__ import annotations

from pathlib import Path

import pytest

from aws_setup.cloudformation.parameters import check, effective, from_file
from aws_setup.errors import UsageError


def file(folder: Path, text: str) -> Path:
    path = folder / "production.yaml"
    path.write_text(text)
    return path


def test_a_file_sets_texts_numbers_booleans_and_lists(tmp_path: Path) -> None:
    text = """
        BucketName: lake
        MaximumExecutors: 5
        CreateAwsKeysSecret: true
        SubnetIds: [subnet-1, subnet-2]
        SecurityGroupIds: []
    """
    assert from_file(file(tmp_path, text)) == {
        "BucketName": "lake",
        "MaximumExecutors": "5",
        "CreateAwsKeysSecret": "true",
        "SubnetIds": "subnet-1,subnet-2",
        "SecurityGroupIds": "",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a mapping of template parameters"),
        ("- BucketName", "is not a mapping of template parameters"),
        ("BucketName: a\nBucketName: b", "line 2: the key 'BucketName' appears twice"),
        ("BucketName: a\n? [a, b]\n: c", "line 2: a key must be a single text, not a list or a mapping"),
        ("? {a: b}\n: c", "line 1: a key must be a single text"),
        ("1: a", "unknown parameter 1"),
        ("BucketName: 2024-13-45", "line 1: '2024-13-45' cannot be read as a value"),
        ("BucketName: \x01", "special characters are not allowed"),
        ("BucketName: " + "[" * 5000, "is nested too deeply"),
        ("BucketName: {a: b}", "BucketName must be a string"),
        ("BucketName:", "BucketName must be a string"),
        ("SubnetIds: [{a: b}]", "SubnetIds must be a string"),
        ("Bucket: lake", "unknown parameter Bucket: the template has BucketName"),
        ("DriverKey: jar/x", "deploy sets the parameter DriverKey itself"),
        ("BucketName: [", "line 1: .*"),
        ("BucketName: !!python/name:os.system", "line 1: could not determine a constructor"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"production\.yaml.*{message}"):
        from_file(file(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*nothing\.yaml: No such file"):
        from_file(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("name", "value", "constraint"),
    [
        ("DriverMemory", "6x", "gigabytes, such as 6g"),
        ("BucketName", "My_Lake", "3 to 63 lower-case letters, digits and hyphens, without the prefixes .*"),
        ("DriverCores", "3", "1, 2, 4, 8, 16"),
        ("MaximumExecutors", "0", "1 to 100"),
        ("MaximumExecutors", "many", "1 to 100"),
        ("DatabaseHost", "db.example/shop", r"\[A-Za-z0-9._:-\]\*"),
        ("DatabaseCidr", "0.0.0.0/0", "a range of IPv4 addresses other than 0.0.0.0/0, or empty"),
    ],
)
def test_a_value_that_cloudformation_would_refuse_is_refused_before_the_call(
    name: str, value: str, constraint: str
) -> None:
    with pytest.raises(UsageError, match=f"^{name} cannot be '{value}': it accepts {constraint}$"):
        check({name: value})


def test_a_secret_that_rds_manages_has_an_exclamation_mark_in_its_name() -> None:
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-0a1b2c3d-0123-4567-89ab-0a1b2c3d4e5f-AbCdEf"
    check({"DatabaseSecretArn": secret, "DatabaseHost": "shop.abc.us-east-1.rds.amazonaws.com", "DatabaseName": "shop"})


def test_every_constraint_of_the_template_lets_its_default_pass() -> None:
    defaults = effective({}, None)
    check({name: value for name, value in defaults.items() if name not in ("NameSuffix", "ScriptPrefix", "DriverKey")})


def test_a_given_value_overrides_the_stack_s_and_that_overrides_the_default() -> None:
    previous = {"MaximumExecutors": "4", "DriverCores": "4", "Gone": "1"}
    values = effective({"MaximumExecutors": "5"}, previous)
    assert (values["MaximumExecutors"], values["DriverCores"], values["ExecutorCores"]) == ("5", "4", "2")
    assert "Gone" not in values
