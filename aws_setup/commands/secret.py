"""The secret of the source database: its fields are read from standard input and never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

from botocore.exceptions import ClientError

from aws_setup.checks.findings import Finding, error, warning
from aws_setup.cloudformation import retained
from aws_setup.cloudformation.parameters import name_suffix
from aws_setup.errors import UsageError
from ingest_assets.aws.errors import error_code
from ingest_assets.aws.stack import StackOutputs, read_stack
from spark_scripts.contract.database import (
    OPTIONAL,
    REQUIRED,
    Endpoint,
    database_from_fields,
    database_from_secret,
    has_aws_fields,
)
from spark_scripts.contract.errors import InvalidInputError

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

_FILL = "fill it with `python -m aws_setup secret`"
_MAXIMUM_BYTES = 65_536
"""Of a secret's text: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_QUOTES = ("'", '"')


def set_from(source: TextIO, session: Session, stack: str, report: Callable[[str], None]) -> None:
    """Set the secret of the stack to the fields that `source` holds.

    Raises UsageError naming a field or a line that is wrong, StackError when there is no stack.
    """
    if source.isatty():
        report(f"Reading {', '.join(REQUIRED)}, and if you like {', '.join(OPTIONAL)}: KEY=VALUE lines, then Ctrl-D")
    fields = parse_fields(source.read())
    found = read_stack(session.client("cloudformation"), stack)
    secret_id = StackOutputs.of(found).database_secret_arn
    put_database_secret(session, secret_id, fields, endpoint(found.parameters))
    report(f"set {', '.join(fields)} of {secret_id}")


def put_database_secret(session: Session, secret_id: str, fields: Mapping[str, str], of_stack: Endpoint) -> None:
    """Make `fields` the value of the secret. Raises what `checked` raises, and UsageError when they are too long."""
    text = json.dumps(checked(fields, of_stack))
    if len(text.encode()) > _MAXIMUM_BYTES:
        raise UsageError(
            f"the secret has {len(text.encode())} bytes and Secrets Manager takes {_MAXIMUM_BYTES}: give fewer"
            " certificates, of RDS those of the database's region"
        )
    session.client("secretsmanager").put_secret_value(SecretId=secret_id, SecretString=text)


def checked(fields: Mapping[str, str], of_stack: Endpoint) -> dict[str, str]:
    """The fields of a database secret, the certificates with nothing around them.

    `of_stack` is what the stack adds to a secret of AWS's form. Raises UsageError when the job would refuse them, or
    would not read one of them. The message holds no value.
    """
    known = (*REQUIRED, *OPTIONAL)
    unknown = sorted(set(fields) - set(known))
    if unknown and not has_aws_fields(fields):
        raise UsageError(f"unknown field {unknown[0]}: the secret has {', '.join(known)}")
    try:
        database = database_from_fields(fields, of_stack)
    except InvalidInputError as wrong:
        raise UsageError(str(wrong)) from None
    return {**fields, **({"POSTGRES_SSLROOTCERT": database.sslrootcert} if database.sslrootcert else {})}


def endpoint(parameters: Mapping[str, str]) -> Endpoint:
    """What the stack's parameters say of the database."""
    return Endpoint(*(parameters.get(f"Database{name}", "") for name in ("Host", "Port", "Name")))


def check(session: Session, stack: str, parameters: Mapping[str, str], *, known: bool) -> Iterator[Finding]:
    """What is wrong with the database secret, never its values: the one given, or the one that the stack makes.

    `parameters` are the stack's. `known` says that it has its secret or takes it over; else one of that name is in the
    way.
    """
    client = session.client("secretsmanager")
    given_arn = parameters.get("DatabaseSecretArn", "")
    secret_id = given_arn or f"POSTGRESQL{name_suffix(stack)}"
    try:
        answer = client.describe_secret(SecretId=secret_id)
    except ClientError as missing:
        if error_code(missing) != "ResourceNotFoundException":
            raise
        if given_arn:
            yield error(
                "secret", f"there is no secret {secret_id}: check the parameter DatabaseSecretArn and the region"
            )
        else:
            yield warning("secret", f"{_FILL} after the deployment: the secret {secret_id} is not there yet")
        return
    in_the_way = list(_in_the_way(stack, secret_id, answer, known=known or bool(given_arn)))
    yield from in_the_way or _value(client, secret_id, parameters)


def _in_the_way(stack: str, secret_id: str, about: DescribeSecretResponseTypeDef, *, known: bool) -> Iterator[Finding]:
    """Why a secret that is there cannot be the stack's."""
    if "DeletedDate" in about:
        yield error(
            "secret",
            f"the secret {secret_id} is scheduled for deletion, which blocks its name: run `aws secretsmanager"
            f" restore-secret --secret-id {about['ARN']}`, then deploy",
        )
    elif not known:
        yield error(
            "secret",
            f"the secret {secret_id} exists and is not marked as this stack's: use it with --parameter"
            f" DatabaseSecretArn={about['ARN']}, or give it the tags {retained.marks(stack)} for deploy to take it"
            " over",
        )


def _value(client: SecretsManagerClient, secret_id: str, parameters: Mapping[str, str]) -> Iterator[Finding]:
    """Why jobs would fail with the secret's value."""
    text = client.get_secret_value(SecretId=secret_id).get("SecretString")
    try:
        database = database_from_secret(secret_id, text, endpoint(parameters))
    except InvalidInputError as wrong:
        yield warning("secret", f"{wrong}. Jobs fail until that is mended")
        return
    port = parameters.get("DatabasePort", "")
    if parameters.get("VpcId") and not parameters.get("SecurityGroupIds") and port not in ("", str(database.port)):
        yield error(
            "secret",
            f"the secret {secret_id} says port {database.port} and the job's security group opens {port}: deploy with"
            f" --parameter DatabasePort={database.port}",
        )


def parse_fields(text: str) -> dict[str, str]:
    """The fields in `text`: a JSON object, or KEY=VALUE lines, `#` beginning a comment line.

    A value may stand in single or double quotes, and then on several lines. Raises UsageError naming the line, never
    its text.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    fields: dict[str, str] = {}
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"line {number} of the input is not of the form KEY=VALUE")
        fields[match[1]] = _unquoted(_whole_value(match[2].strip(), lines, number))
    return fields


def _whole_value(value: str, lines: Iterator[tuple[int, str]], number: int) -> str:
    """The value that begins on line `number`, with the lines that follow until its quote is closed."""
    if not value.startswith(_QUOTES) or (len(value) > 1 and value.endswith(value[0])):
        return value
    whole = [value]
    for _, line in lines:
        whole.append(line.rstrip())
        if whole[-1].endswith(value[0]):
            return "\n".join(whole)
    raise UsageError(f"line {number} of the input opens a quote that is not closed")


def _from_json(text: str) -> dict[str, str]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"the input is not JSON: line {error.lineno}, column {error.colno}") from None
    for name, value in document.items():
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise UsageError(f"{name} must be a string")
    return {name: str(value) for name, value in document.items()}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in _QUOTES:
        return value[1:-1]
    return value
