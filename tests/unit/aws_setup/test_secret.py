from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from aws_setup.commands.secret import checked, parse_fields, put_database_secret, set_from, set_pepper
from aws_setup.errors import UsageError
from spark_scripts.contract.database import Endpoint
from spark_scripts.contract.privacy import fingerprint
from tests.certificates import Authority
from tests.unit.aws_setup.fakes import STACK_ID, FakeSession

OUTPUT_KEYS = (
    "BucketName",
    "QueueUrl",
    "FailureTopicArn",
    "StateMachineArn",
    "ScheduleName",
    "DatabaseSecretArn",
)
FIELDS = {
    "POSTGRES_HOST": "db.example.com",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "reader",
    "POSTGRES_PASSWORD": "p=a'ss word#",
    "POSTGRES_DB": "shop",
}
NOTHING = Endpoint(port="5432")  # of a stack with the parameters' defaults


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FIELDS),
        json.dumps({**FIELDS, "POSTGRES_PORT": 5432}),
        "\n".join(f"{name}={value}" for name, value in FIELDS.items()),
        "# a comment\n\n" + "\n".join(f'export {name} = "{value}"' for name, value in FIELDS.items()),
    ],
)
def test_fields_are_json_or_lines(text: str) -> None:
    assert parse_fields(text) == FIELDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("POSTGRES_HOST", "line 1 of the input does not have the form KEY=VALUE"),
        (
            "POSTGRES_DB=x\nPOSTGRES_PASSWORD='hunter2\nPOSTGRES_HOST=h",
            "line 2 of the input opens a quote that is never cl",
        ),
        ('{"POSTGRES_PASSWORD": hunter2}', "not JSON: line 1, column 23"),
        ('{"POSTGRES_PASSWORD": ["hunter2"]}', "POSTGRES_PASSWORD must be a string"),
    ],
)
def test_an_unreadable_line_is_named_without_its_text(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_fields(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"POSTGRES_PASSWORD": ""}, "POSTGRES_PASSWORD missing"),
        ({"PGPASSWORD": "hunter2"}, "unknown field PGPASSWORD: the secret has POSTGRES_HOST"),
        ({"POSTGRES_PORT": "70000"}, "the port must be a number from 1 to 65535"),
        ({"POSTGRES_SSLMODE": "on"}, "POSTGRES_SSLMODE must be one of disable, "),
        ({"POSTGRES_SSLROOTCERT": "hunter2"}, "POSTGRES_SSLROOTCERT is not PEM text"),
        ({"username": "reader"}, "POSTGRES_HOST and username are fields of two forms"),
    ],
)
def test_wrong_fields_are_refused_without_their_values(change: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        checked({**FIELDS, **change}, NOTHING)
    assert "hunter2" not in str(caught.value)


def test_the_secret_s_value_is_the_fields_as_json() -> None:
    session = FakeSession()
    session.script("secretsmanager").add_response(
        "put_secret_value", {}, {"SecretId": "POSTGRESQL", "SecretString": json.dumps(FIELDS)}
    )
    put_database_secret(session.typed, "POSTGRESQL", FIELDS, NOTHING)
    session.assert_all_called()


def test_a_secret_in_aws_s_format_needs_only_the_database_parameters_of_the_stack() -> None:
    by_rds = {"username": "reader", "password": "hunter2"}
    assert checked(by_rds, Endpoint("db.example.com", "5432", "shop")) == by_rds
    with pytest.raises(UsageError, match="host, dbname missing: deploy with --parameter DatabaseHost="):
        checked(by_rds, NOTHING)


PEM = Authority("First CA").certificate + Authority("Second CA").certificate
WRITTEN_PEM = {
    "in double quotes": f'"{PEM}"',
    "in single quotes, with remarks between": "'" + PEM.replace("-----BEGIN", "# First or second\n-----BEGIN") + "'",
    "on one line": PEM.replace("\n", "\\n"),
    "on one line in quotes": '"' + PEM.replace("\n", "\\n") + '"',
}


@pytest.mark.parametrize("form", WRITTEN_PEM)
def test_certificates_have_several_lines(form: str) -> None:
    lines = [f"{name}={value}" for name, value in FIELDS.items()]
    text = "\n".join([*lines, f"POSTGRES_SSLROOTCERT={WRITTEN_PEM[form]}", "POSTGRES_SSLMODE=verify-full"])
    for written in (text, text.replace("\n", "\r\n")):
        fields = checked(parse_fields(written), NOTHING)
        assert fields == {**FIELDS, "POSTGRES_SSLROOTCERT": PEM, "POSTGRES_SSLMODE": "verify-full"}


def test_certificates_may_come_in_json() -> None:
    fields = {**FIELDS, "POSTGRES_SSLROOTCERT": PEM}
    assert checked(parse_fields(json.dumps(fields)), NOTHING) == fields


def test_more_certificates_than_a_secret_holds_are_refused_before_aws_does() -> None:
    bundle = {**FIELDS, "POSTGRES_SSLROOTCERT": PEM * 100}
    with pytest.raises(UsageError, match=r"the secret has \d+ bytes, and Secrets Manager accepts 65536: give fewer"):
        put_database_secret(FakeSession().typed, "POSTGRESQL", bundle, NOTHING)


def stack_of(session: FakeSession) -> FakeSession:
    """The session, which finds the stack once."""
    outputs = [{"OutputKey": key, "OutputValue": f"the {key}"} for key in OUTPUT_KEYS]
    stack = {"StackName": "s", "StackStatus": "CREATE_COMPLETE", "CreationTime": datetime.now(UTC), "Outputs": outputs}
    session.script("cloudformation").add_response("describe_stacks", {"Stacks": [{**stack, "StackId": STACK_ID}]})
    return session


def holding(fields: Mapping[str, object]) -> FakeSession:
    """A session whose stack has a secret with these fields, and takes others."""
    session = stack_of(FakeSession())
    text = json.dumps(fields)
    session.script("secretsmanager").add_response("get_secret_value", {"SecretString": text})
    return session


def stored(session: FakeSession, expected: Mapping[str, object]) -> None:
    """Let the session store these fields, and no others."""
    parameters = {"SecretId": "the DatabaseSecretArn", "SecretString": json.dumps(expected)}
    session.script("secretsmanager").add_response("put_secret_value", {}, parameters)


PEPPER = "5e" * 32


def test_the_values_are_never_reported() -> None:
    session = stack_of(FakeSession())
    session.script("secretsmanager").add_client_error("get_secret_value", "ResourceNotFoundException")
    stored(session, dict(FIELDS))
    lines: list[str] = []
    set_from(io.StringIO(json.dumps(FIELDS)), session.typed, "s", lines.append)
    assert lines == [f"set {', '.join(FIELDS)} of the DatabaseSecretArn"]


def test_other_fields_leave_the_pepper_as_it_is() -> None:
    session = holding({"POSTGRES_HOST": "old", "PII_PEPPER": PEPPER})
    stored(session, {**FIELDS, "PII_PEPPER": PEPPER})
    lines: list[str] = []
    set_from(io.StringIO(json.dumps(FIELDS)), session.typed, "s", lines.append)
    assert lines == [f"set {', '.join(FIELDS)} of the DatabaseSecretArn, kept its PII_PEPPER"]


def test_a_given_pepper_replaces_that_of_the_secret() -> None:
    session = stack_of(FakeSession())
    stored(session, {**FIELDS, "PII_PEPPER": PEPPER})
    set_from(io.StringIO(json.dumps({**FIELDS, "PII_PEPPER": PEPPER})), session.typed, "s", print)
    session.assert_all_called()


@pytest.mark.parametrize("field", ["PII_PEPER", "PEPPER", "pii_pepper"])
def test_a_misspelt_pepper_is_refused(field: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown field {field}: the .*PII_PEPPER"):
        checked({**FIELDS, field: PEPPER}, NOTHING)


def test_a_short_pepper_is_refused_without_its_value() -> None:
    with pytest.raises(UsageError, match="PII_PEPPER must have at least 32 characters: make a random") as caught:
        checked({**FIELDS, "PII_PEPPER": "hunter2"}, NOTHING)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("fields", [FIELDS, {"username": "reader", "password": "hunter2", "port": 5432}])
def test_a_new_pepper_is_random_and_leaves_the_other_fields_alone(
    fields: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "5e" * size)
    session = holding(fields)
    stored(session, {**fields, "PII_PEPPER": PEPPER})
    lines: list[str] = []
    set_pepper(session.typed, "s", lines.append, replace=False)
    session.assert_all_called()
    assert lines == [f"set PII_PEPPER of the DatabaseSecretArn, fingerprint {fingerprint(PEPPER)}"]


def test_a_pepper_is_replaced_only_where_that_is_asked_for() -> None:
    old = {**FIELDS, "PII_PEPPER": PEPPER}
    with pytest.raises(
        UsageError, match=f"has a PII_PEPPER .fingerprint {fingerprint(PEPPER)}.* --replace-pepper"
    ) as no:
        set_pepper(holding(old).typed, "s", print, replace=False)
    assert PEPPER not in str(no.value)
    session = holding(old)
    session.script("secretsmanager").add_response("put_secret_value", {})
    set_pepper(session.typed, "s", print, replace=True)
    session.assert_all_called()


def test_a_secret_without_fields_gets_them_before_a_pepper() -> None:
    session = stack_of(FakeSession())
    session.script("secretsmanager").add_client_error("get_secret_value", "ResourceNotFoundException")
    with pytest.raises(UsageError, match="the secret the DatabaseSecretArn has no fields yet: set them first"):
        set_pepper(session.typed, "s", print, replace=False)


def test_a_secret_that_may_not_be_read_is_not_overwritten_unless_the_input_says_which_pepper() -> None:
    session = stack_of(FakeSession())
    session.script("secretsmanager").add_client_error("get_secret_value", "AccessDeniedException")
    with pytest.raises(
        UsageError, match=r"you may not read .* its PII_PEPPER would be lost: give PII_PEPPER in the in"
    ):
        set_from(io.StringIO(json.dumps(FIELDS)), session.typed, "s", print)
    session = stack_of(FakeSession())
    stored(session, {**FIELDS, "PII_PEPPER": ""})
    set_from(io.StringIO(json.dumps({**FIELDS, "PII_PEPPER": ""})), session.typed, "s", print)
    session.assert_all_called()
