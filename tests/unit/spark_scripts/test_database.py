import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from spark_scripts.contract.arguments import JobArguments
from spark_scripts.contract.database import Database, Endpoint, database_from_secret
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.secret import read_database, read_secret
from tests.certificates import Authority

FIELDS = {
    "POSTGRES_HOST": "db.example",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "reader",
    "POSTGRES_PASSWORD": "open sesame",
    "POSTGRES_DB": "shop & co",
}
ROTATED = {
    "engine": "postgres",
    "host": "db.example",
    "port": 5432,
    "username": "reader",
    "password": "open sesame",
    "dbname": "shop & co",
    "dbInstanceIdentifier": "shop",
}
BY_RDS = {"username": "reader", "password": "open sesame"}
NOTHING = Endpoint(port="5432")  # of a stack with the parameters' defaults
STACK = Endpoint("db.example", "5432", "shop & co")
CA = Authority("CA").certificate


@pytest.fixture
def secrets() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client(
        "secretsmanager", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def described(change: Mapping[str, Any] = MappingProxyType({}), endpoint: Endpoint = NOTHING) -> Database:
    """The database of a secret with the project's fields, changed."""
    return database_from_secret("POSTGRESQL", json.dumps({**FIELDS, **change}), endpoint)


def test_a_secret_describes_the_database() -> None:
    database = described()
    assert database.url == "jdbc:postgresql://db.example:5432/shop%20%26%20co"
    assert str(database) == "reader@db.example:5432/shop & co"
    assert database.properties("run-1")["ApplicationName"] == "run-1"
    assert "options" not in database.properties("run-1")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_the_job_never_falls_back_to_clear_text_unless_the_secret_says_so(mode: str) -> None:
    assert described().properties("run-1")["sslmode"] == "require"
    assert described({"POSTGRES_SSLMODE": ""}).properties("run-1")["sslmode"] == "require"
    assert described({"POSTGRES_SSLMODE": mode}).properties("run-1")["sslmode"] == mode


@pytest.mark.parametrize(
    ("given", "used"), [("", "verify-full"), ("verify-full",) * 2, ("verify-ca",) * 2, ("require", "verify-ca")]
)
def test_certificates_are_used_as_libpq_uses_them(given: str, used: str) -> None:
    properties = described({"POSTGRES_SSLMODE": given, "POSTGRES_SSLROOTCERT": CA}).properties("run-1")
    assert properties["sslmode"] == used
    assert re.fullmatch(r"postgresql-root-[0-9a-f]{16}\.pem", properties["sslrootcert"])


def test_a_public_ca_may_be_the_one_that_java_trusts() -> None:
    properties = described({"POSTGRES_SSLROOTCERT": "system"}).properties("run-1")
    assert (properties["sslmode"], properties["sslfactory"]) == (
        "verify-full",
        "org.postgresql.ssl.DefaultJavaSSLFactory",
    )
    assert "sslrootcert" not in properties


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"POSTGRES_SSLMODE": "verify_full"},
            "POSTGRES_SSLMODE must be one of disable, allow, prefer, require, verify-",
        ),
        ({"POSTGRES_SSLMODE": "verify-full"}, "POSTGRES_SSLMODE=verify-full needs POSTGRES_SSLROOTCERT, the cert"),
        ({"POSTGRES_SSLMODE": "verify-ca"}, "POSTGRES_SSLMODE=verify-ca needs POSTGRES_SSLROOTCERT"),
        (
            {"POSTGRES_SSLMODE": "prefer", "POSTGRES_SSLROOTCERT": CA},
            "POSTGRES_SSLROOTCERT checks nothing with POSTGRES_SSLMODE=prefer: set verify-full",
        ),
        (
            {"POSTGRES_SSLMODE": "require", "POSTGRES_SSLROOTCERT": "system"},
            "=system needs POSTGRES_SSLMODE=verify-full",
        ),
        ({"POSTGRES_SSLROOTCERT": "/etc/ssl/ca.pem"}, "POSTGRES_SSLROOTCERT is not PEM text"),
        ({"POSTGRES_SSLROOTCRT": CA}, "unknown field POSTGRES_SSLROOTCRT: the fields are POSTGRES_HOST"),
        ({"POSTGRES_PORT": True}, "POSTGRES_PORT must be a string"),
        ({"POSTGRES_HOST": "a.example,b.example"}, "the host must be one name or address"),
        ({"POSTGRES_HOST": "db.example:5432"}, "the host must be one name or address, without a port"),
        ({"POSTGRES_HOST": "db.example/shop?sslmode=disable"}, "the host must be one name or address"),
        ({"username": "reader"}, "POSTGRES_HOST and username are fields of two forms"),
        ({"engine": "postgres"}, "POSTGRES_HOST and engine are fields of two forms"),
    ],
)
def test_wrong_fields_are_named_with_what_to_do(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^secret POSTGRESQL: .*{re.escape(message)}") as raised:
        described(change)
    assert "sesame" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options_reach_the_connection() -> None:
    options = "-c search_path=a,b -c statement_timeout=0"
    assert described({"POSTGRES_OPTIONS": options}).properties("run-1")["options"] == options


@pytest.mark.parametrize(
    ("fields", "endpoint"),
    [
        (ROTATED, NOTHING),
        (ROTATED, STACK),
        ({**ROTATED, "engine": "aurora-postgresql", "port": "5432"}, NOTHING),
        ({key: value for key, value in ROTATED.items() if key not in ("dbname", "port")}, STACK),
        (BY_RDS, STACK),
    ],
)
def test_a_secret_that_aws_made_describes_the_same_database(fields: dict[str, Any], endpoint: Endpoint) -> None:
    assert database_from_secret("rds!db-1", json.dumps(fields), endpoint) == described()


def test_a_secret_that_aws_made_may_have_our_fields_for_tls_too() -> None:
    fields = {**ROTATED, "POSTGRES_SSLROOTCERT": CA, "POSTGRES_OPTIONS": "-c geqo=off"}
    database = database_from_secret("rotated", json.dumps(fields), NOTHING)
    assert (database.sslmode, database.options) == ("verify-full", "-c geqo=off")


@pytest.mark.parametrize(
    ("fields", "endpoint", "message"),
    [
        (BY_RDS, NOTHING, "host, dbname missing: deploy with --parameter DatabaseHost=…"),
        (BY_RDS, Endpoint("db.example", "5432"), "dbname missing: deploy with --parameter DatabaseName=…"),
        ({"password": "open sesame"}, STACK, "username missing: take the secret of a database's user"),
        ({**ROTATED, "engine": "mysql"}, NOTHING, "the engine is not postgres"),
        (ROTATED, Endpoint("replica.example"), "its host differs from the stack's parameter DatabaseHost"),
        (ROTATED, Endpoint(name="stock"), "its name differs from the stack's parameter DatabaseName"),
    ],
)
def test_fields_that_a_secret_of_aws_lacks_come_from_the_stack_or_are_named(
    fields: dict[str, Any], endpoint: Endpoint, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"^secret rds!db-1: {message}"):
        database_from_secret("rds!db-1", json.dumps(fields), endpoint)


def test_a_stack_that_names_another_database_than_the_secret_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="its host differs from the stack's parameter DatabaseHost"):
        described(endpoint=Endpoint("replica.example"))


def test_the_argument_of_the_job_has_the_parameters_of_the_stack_about_the_database() -> None:
    argument = {"input": {}, "execution": "e", "bucket": "b", "database_secret": "s"}
    place = {"database_host": "db.example", "database_port": "5432", "database_name": "shop & co"}
    assert JobArguments.parse([json.dumps({**argument, **place})]).endpoint == STACK
    assert JobArguments.parse([json.dumps(argument)]).endpoint == Endpoint()


def test_settings_of_the_job_win_over_options_of_the_secret() -> None:
    database = described({"POSTGRES_OPTIONS": "-c lock_timeout=0"})
    assert database.properties("run-1", {"lock_timeout": "10s"})["options"] == "-c lock_timeout=0 -c lock_timeout=10s"


def test_the_secret_is_read_again_each_time(secrets: tuple[Any, Stubber]) -> None:
    client, stubber = secrets
    for password in ("old", "new"):
        stubber.add_response("get_secret_value", {"SecretString": json.dumps({**BY_RDS, "password": password})})
    assert [read_database(client, "rds!db-1", STACK).password for _ in range(2)] == ["old", "new"]


def test_an_ipv6_host_stands_in_brackets() -> None:
    assert Database("::1", 5432, "db", "u", "p").url == "jdbc:postgresql://[::1]:5432/db"


def test_the_password_is_in_neither_repr_nor_text_nor_url() -> None:
    database = described()
    assert "sesame" not in repr(database) + str(database) + database.url


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_missing_or_empty_field_is_named(field: str) -> None:
    for fields in ({**FIELDS, field: ""}, {key: value for key, value in FIELDS.items() if key != field}):
        with pytest.raises(InvalidInputError, match=f"POSTGRESQL: {field} missing: set it with .*aws_setup secret"):
            database_from_secret("POSTGRESQL", json.dumps(fields), NOTHING)


@pytest.mark.parametrize("port", ["postgres", "0", "65536", "-1"])
def test_a_wrong_port_is_refused(port: str) -> None:
    with pytest.raises(InvalidInputError, match="the port must be a number from 1 to 65535"):
        described({"POSTGRES_PORT": port})


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
