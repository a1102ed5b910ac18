from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from aws_setup.errors import UsageError
from aws_setup.secret import check_fields, parse_fields, put_database_secret, set_from
from tests.unit.aws.fakes import FakeSession

OUTPUT_KEYS = (
    "BucketName",
    "QueueUrl",
    "SuccessTopicArn",
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
        ("POSTGRES_HOST", "line 1 of the input is not of the form KEY=VALUE"),
        ('{"POSTGRES_PASSWORD": hunter2}', "not JSON: line 1, column 23"),
        ('{"POSTGRES_PASSWORD": ["hunter2"]}', "POSTGRES_PASSWORD must be a text"),
    ],
)
def test_what_cannot_be_read_is_named_without_its_text(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_fields(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"POSTGRES_PASSWORD": ""}, "the secret needs POSTGRES_PASSWORD"),
        ({"PGPASSWORD": "hunter2"}, "unknown field PGPASSWORD: the secret has POSTGRES_HOST"),
        ({"POSTGRES_PORT": "5432x"}, "POSTGRES_PORT must be a number"),
        ({"POSTGRES_PORT": "70000"}, "POSTGRES_PORT must be a number from 1 to 65535"),
    ],
)
def test_wrong_fields_are_refused_without_their_values(change: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_fields({**FIELDS, **change})
    assert "hunter2" not in str(caught.value)


def test_the_secret_holds_the_fields_as_json() -> None:
    session = FakeSession()
    session.script("secretsmanager").add_response(
        "put_secret_value", {}, {"SecretId": "POSTGRESQL", "SecretString": json.dumps(FIELDS)}
    )
    put_database_secret(session.typed, "POSTGRESQL", FIELDS)
    session.assert_all_called()


def test_the_values_are_never_reported() -> None:
    session = FakeSession()
    outputs = [{"OutputKey": key, "OutputValue": f"the {key}"} for key in OUTPUT_KEYS]
    stack = {"StackName": "s", "StackStatus": "CREATE_COMPLETE", "CreationTime": datetime.now(UTC), "Outputs": outputs}
    session.script("cloudformation").add_response("describe_stacks", {"Stacks": [stack]})
    session.script("secretsmanager").add_response("put_secret_value", {})
    lines: list[str] = []
    set_from(io.StringIO(json.dumps(FIELDS)), session.typed, "s", lines.append)
    assert lines == [f"set {', '.join(FIELDS)} of the DatabaseSecretArn"]
