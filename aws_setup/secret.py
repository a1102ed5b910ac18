"""The secret of the source database: its fields are read from standard input and never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from botocore.exceptions import ClientError

from aws_setup import kept
from aws_setup.errors import UsageError
from aws_setup.findings import Finding, error, warning
from aws_setup.parameters import name_suffix
from ingest_assets.aws import error_code
from ingest_assets.stack import StackOutputs
from spark_scripts.database import REQUIRED, is_port

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

OPTIONAL = ("POSTGRES_SSLMODE",)

_FILL = "fill it with `python -m aws_setup secret`"

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")


def set_from(source: TextIO, session: Session, stack: str, report: Callable[[str], None]) -> None:
    """Set the secret of the stack to the fields that `source` holds.

    Raises UsageError naming a field or a line that is wrong, StackError when there is no stack.
    """
    if source.isatty():
        report(f"Reading {', '.join(REQUIRED)}: KEY=VALUE lines, then Ctrl-D")
    fields = parse_fields(source.read())
    check_fields(fields)
    secret_id = StackOutputs.read(session.client("cloudformation"), stack).database_secret_arn
    put_database_secret(session, secret_id, fields)
    report(f"set {', '.join(fields)} of {secret_id}")


def put_database_secret(session: Session, secret_id: str, fields: Mapping[str, str]) -> None:
    """Make `fields` the value of the secret.

    Raises UsageError naming a field that is missing, unknown or empty, or a port that is none.
    """
    check_fields(fields)
    client = session.client("secretsmanager")
    client.put_secret_value(SecretId=secret_id, SecretString=json.dumps(dict(fields)))


def check_fields(fields: Mapping[str, str]) -> None:
    """Raise UsageError when `fields` are not those of a database secret. The message holds no value."""
    unknown = sorted(set(fields) - {*REQUIRED, *OPTIONAL})
    if unknown:
        raise UsageError(f"unknown field {unknown[0]}: the secret has {', '.join((*REQUIRED, *OPTIONAL))}")
    missing = [name for name in REQUIRED if not fields.get(name)]
    if missing:
        raise UsageError(f"the secret needs {', '.join(missing)}")
    if not is_port(fields["POSTGRES_PORT"]):
        raise UsageError("POSTGRES_PORT must be a number from 1 to 65535")


def check(session: Session, stack: str, given_arn: str, *, known: bool) -> Iterator[Finding]:
    """What is wrong with the database secret, never its values: the one given, or the one that the stack makes.

    `known` says that the stack has its secret or takes it over; else one of that name is in the way.
    """
    client = session.client("secretsmanager")
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
    yield from _state(client, stack, secret_id, answer, known=known or bool(given_arn))


def _state(
    client: SecretsManagerClient, stack: str, secret_id: str, about: DescribeSecretResponseTypeDef, *, known: bool
) -> Iterator[Finding]:
    """What is wrong with a secret that is there."""
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
            f" DatabaseSecretArn={about['ARN']}, or give it the tags {kept.marks(stack)} for deploy to take it over",
        )
    elif not _filled(client, secret_id):
        yield warning(
            "secret", f"the secret {secret_id} does not have all its fields, and jobs fail until it has: {_FILL}"
        )


@contextmanager
def kept_value(session: Session, secret_id: str, report: Callable[[str], None]) -> Iterator[None]:
    """Put the secret's value back when the placeholders of the template take its place meanwhile.

    CloudFormation does not touch the value while the template's text stays the same. Should it ever, the former version
    is made the current one again.
    """
    client = session.client("secretsmanager")
    before = _current_version(client, secret_id)
    try:
        yield
    finally:
        after = _current_version(client, secret_id)
        if before is not None and after is not None and after != before and not _filled(client, secret_id):
            client.update_secret_version_stage(
                SecretId=secret_id, VersionStage="AWSCURRENT", RemoveFromVersionId=after, MoveToVersionId=before
            )
            report(f"put the former value of the secret {secret_id} back, which the update had overwritten")


def _current_version(client: SecretsManagerClient, secret_id: str) -> str | None:
    try:
        versions = client.describe_secret(SecretId=secret_id).get("VersionIdsToStages", {})
    except ClientError:  # not there, or not to be seen: then there is nothing that could be put back
        return None
    return next((version for version, stages in versions.items() if "AWSCURRENT" in stages), None)


def _filled(client: SecretsManagerClient, secret_id: str) -> bool:
    """Whether the secret has the fields of a database, none of them empty."""
    try:
        check_fields(_from_json(client.get_secret_value(SecretId=secret_id)["SecretString"]))
    except (UsageError, KeyError, AttributeError):  # other fields, a binary secret, JSON that is no object
        return False
    return True


def parse_fields(text: str) -> dict[str, str]:
    """The fields in `text`: a JSON object, or KEY=VALUE lines, `#` beginning a comment line.

    A value may stand in single or double quotes. Raises UsageError naming the line, never its text.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"line {number} of the input is not of the form KEY=VALUE")
        fields[match[1]] = _unquoted(match[2].strip())
    return fields


def _from_json(text: str) -> dict[str, str]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"the input is not JSON: line {error.lineno}, column {error.colno}") from None
    for name, value in document.items():
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise UsageError(f"{name} must be a text")
    return {name: str(value) for name, value in document.items()}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
