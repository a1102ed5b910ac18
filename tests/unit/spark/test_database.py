import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from spark_scripts.database import Database, database_from_secret, read_secret
from spark_scripts.errors import InvalidInputError

FIELDS = {
    "POSTGRES_HOST": "db.example",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "reader",
    "POSTGRES_PASSWORD": "open sesame",
    "POSTGRES_DB": "shop & co",
}


@pytest.fixture
def secrets() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client(
        "secretsmanager", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def test_a_secret_describes_the_database() -> None:
    database = database_from_secret("POSTGRESQL", FIELDS)
    assert database.url == "jdbc:postgresql://db.example:5432/shop%20%26%20co"
    assert str(database) == "reader@db.example:5432/shop & co"
    assert database.properties("run-1")["ApplicationName"] == "run-1"
    assert "sslmode" not in database.properties("run-1")


def test_tls_can_be_asked_for() -> None:
    database = database_from_secret("POSTGRESQL", {**FIELDS, "POSTGRES_SSLMODE": "verify-full"})
    assert database.properties("run-1")["sslmode"] == "verify-full"


def test_an_ipv6_host_stands_in_brackets() -> None:
    assert Database("::1", 5432, "db", "u", "p").url == "jdbc:postgresql://[::1]:5432/db"


def test_the_password_is_in_neither_repr_nor_text_nor_url() -> None:
    database = database_from_secret("POSTGRESQL", FIELDS)
    assert "sesame" not in repr(database) + str(database) + database.url


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_missing_or_empty_field_is_named(field: str) -> None:
    for fields in ({**FIELDS, field: ""}, {key: value for key, value in FIELDS.items() if key != field}):
        with pytest.raises(InvalidInputError, match=f"POSTGRESQL has no {field}: set it with .*aws_setup secret"):
            database_from_secret("POSTGRESQL", fields)


@pytest.mark.parametrize("port", ["postgres", "0", "65536", "-1"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(InvalidInputError, match="POSTGRES_PORT is no port number"):
        database_from_secret("POSTGRESQL", {**FIELDS, "POSTGRES_PORT": port})


def test_a_secret_is_read(secrets: tuple[Any, Stubber]) -> None:
    client, stubber = secrets
    stubber.add_response("get_secret_value", {"SecretString": json.dumps(FIELDS)}, {"SecretId": "POSTGRESQL"})
    assert read_secret(client, "POSTGRESQL") == FIELDS


def test_a_missing_secret_is_named(secrets: tuple[Any, Stubber]) -> None:
    client, stubber = secrets
    stubber.add_client_error("get_secret_value", "ResourceNotFoundException")
    with pytest.raises(InvalidInputError, match=r"secret POSTGRESQL cannot be read \(ResourceNotFoundException\)"):
        read_secret(client, "POSTGRESQL")


@pytest.mark.parametrize("text", ["open sesame", '["open sesame"]', "{"])
def test_a_malformed_secret_is_named_and_not_shown(secrets: tuple[Any, Stubber], text: str) -> None:
    client, stubber = secrets
    stubber.add_response("get_secret_value", {"SecretString": text})
    with pytest.raises(InvalidInputError, match="secret POSTGRESQL is not a JSON object") as raised:
        read_secret(client, "POSTGRESQL")
    assert "sesame" not in str(raised.value)
