"""The secret of the source database. Its fields come from standard input and are never shown."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from boto3.session import Session
from botocore.exceptions import ClientError

from aws_setup.checks.findings import Finding, error, warning
from aws_setup.cloudformation import retained
from aws_setup.cloudformation.parameters import name_suffix
from aws_setup.commands.terminal import say
from aws_setup.errors import UsageError
from ingest_assets.aws.errors import error_code, is_denied
from ingest_assets.aws.stack import StackOutputs, read_stack, stack_name
from spark_scripts.contract.database import (
    OPTIONAL,
    REQUIRED,
    Endpoint,
    database_from_fields,
    database_from_secret,
    has_aws_fields,
    secret_fields,
)
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.privacy import PEPPER_FIELD, fingerprint, hashed

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

    from spark_scripts.contract.tables import Table

_FILL = "set it with `python -m aws_setup secret`"
_MAXIMUM_BYTES = 65_536
"""The longest text of a secret: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_QUOTES = ("'", '"')


HELP = "set the fields of the database secret, read from standard input"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No argument has a value of the secret: it would show in the process table. The help names the fields."""
    parser.epilog = (
        f"The input is a JSON object, or KEY=VALUE lines: {', '.join(REQUIRED)}, and optionally {', '.join(OPTIONAL)}."
        f" A value in quotes may have several lines. An input without {PEPPER_FIELD} keeps the secret's."
    )
    pepper = parser.add_mutually_exclusive_group()
    pepper.add_argument(
        "--new-pepper",
        action="store_true",
        help=f"read nothing; give the secret a random {PEPPER_FIELD}, under which columns are hashed",
    )
    pepper.add_argument(
        "--replace-pepper",
        action="store_true",
        help=f"replace the secret's {PEPPER_FIELD}; every month with hashed columns has to be ingested again then",
    )


def run(options: argparse.Namespace) -> int:
    """Set the secret, or its pepper alone."""
    if options.new_pepper or options.replace_pepper:
        set_pepper(Session(), stack_name(), say, replace=options.replace_pepper)
    else:
        set_from(sys.stdin, Session(), stack_name(), say)
    return 0


def set_from(source: TextIO, session: Session, stack: str, report: Callable[[str], None]) -> None:
    """Set the secret of the stack to the fields in `source`, and keep its pepper unless they have one.

    Raises UsageError naming the field or line that is wrong, and StackError when there is no stack.
    """
    if source.isatty():
        report(f"Enter {', '.join(REQUIRED)}, and optionally {', '.join(OPTIONAL)}, as KEY=VALUE lines, then Ctrl-D")
    fields = parse_fields(source.read())
    found = read_stack(session.client("cloudformation"), stack)
    secret_id = StackOutputs.of(found).database_secret_arn
    kept = {} if PEPPER_FIELD in fields else _pepper_of(_stored(session, secret_id))
    put_database_secret(session, secret_id, {**fields, **kept}, endpoint(found.parameters))
    report(f"set {', '.join(fields)} of {secret_id}" + (f", kept its {PEPPER_FIELD}" if kept else ""))


def set_pepper(session: Session, stack: str, report: Callable[[str], None], *, replace: bool) -> None:
    """Give the secret of the stack a random pepper; its other fields stay. Reports the fingerprint of the pepper.

    Raises UsageError when the secret has no fields yet, or has a pepper that is not to be replaced, and StackError when
    there is no stack.
    """
    secret_id = StackOutputs.of(read_stack(session.client("cloudformation"), stack)).database_secret_arn
    fields = _stored(session, secret_id)
    if not fields:
        raise UsageError(f"the secret {secret_id} has no fields yet: set them first, with `python -m aws_setup secret`")
    if (old := fields.get(PEPPER_FIELD)) and not replace:
        raise UsageError(
            f"the secret {secret_id} has a {PEPPER_FIELD} (fingerprint {fingerprint(str(old))}), and hashes under"
            " another one do not match those in the lake: --replace-pepper replaces it, and then every month with"
            " hashed columns has to be ingested again"
        )
    pepper = secrets.token_hex(32)
    _put(session, secret_id, {**fields, PEPPER_FIELD: pepper})
    report(f"set {PEPPER_FIELD} of {secret_id}, fingerprint {fingerprint(pepper)}")


def put_database_secret(session: Session, secret_id: str, fields: Mapping[str, str], of_stack: Endpoint) -> None:
    """Store `fields` as the secret's value. Raises the errors of `checked`, and UsageError when they are too long."""
    _put(session, secret_id, checked(fields, of_stack))


def _stored(session: Session, secret_id: str) -> Mapping[str, Any]:
    """The fields that the secret has; none when it has no value yet, or one of another form."""
    client = session.client("secretsmanager")
    try:
        return secret_fields(secret_id, client.get_secret_value(SecretId=secret_id).get("SecretString"))
    except ClientError as missing:
        if is_denied(missing):
            raise UsageError(
                f"you may not read the secret {secret_id}, and its {PEPPER_FIELD} would be lost: give {PEPPER_FIELD} in"
                " the input (empty for none), or ask for secretsmanager:GetSecretValue"
            ) from missing
        if error_code(missing) != "ResourceNotFoundException":
            raise
    except InvalidInputError:
        pass
    return {}


def _pepper_of(fields: Mapping[str, Any]) -> dict[str, str]:
    return {PEPPER_FIELD: str(fields[PEPPER_FIELD])} if fields.get(PEPPER_FIELD) else {}


def _put(session: Session, secret_id: str, fields: Mapping[str, Any]) -> None:
    text = json.dumps(fields)
    if len(text.encode()) > _MAXIMUM_BYTES:
        raise UsageError(
            f"the secret has {len(text.encode())} bytes, and Secrets Manager accepts {_MAXIMUM_BYTES}: give fewer"
            " certificates, for RDS only those of the database's region"
        )
    session.client("secretsmanager").put_secret_value(SecretId=secret_id, SecretString=text)


def checked(fields: Mapping[str, str], of_stack: Endpoint) -> dict[str, str]:
    """The fields to store in the database secret, with only the certificates in POSTGRES_SSLROOTCERT.

    `of_stack` has the stack's values for fields that a secret in AWS's own format lacks. Raises UsageError when the job
    would reject the fields or ignore one of them. The message contains no value.
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
    """Host, port and name of the database in the stack's parameters."""
    return Endpoint(*(parameters.get(f"Database{name}", "") for name in ("Host", "Port", "Name")))


def check(
    session: Session, stack: str, parameters: Mapping[str, str], tables: Iterable[Table] = (), *, known: bool
) -> Iterator[Finding]:
    """What is wrong with the database secret, given as a parameter or created by the stack. Never shows its values.

    `parameters` are those of the stack, `tables` those whose hashed columns need a pepper. `known` says that the stack
    already has its secret or will import it; otherwise an existing secret of that name blocks its creation.
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
            yield warning("secret", f"the secret {secret_id} does not exist yet: {_FILL} after the deployment")
        return
    blocking = list(_blocking(stack, secret_id, answer, known=known or bool(given_arn)))
    yield from blocking or _value(client, secret_id, parameters, tables)


def _blocking(stack: str, secret_id: str, about: DescribeSecretResponseTypeDef, *, known: bool) -> Iterator[Finding]:
    """Why the stack cannot use or create a secret of this name."""
    if "DeletedDate" in about:
        yield error(
            "secret",
            f"the secret {secret_id} is scheduled for deletion, which blocks its name: run `aws secretsmanager"
            f" restore-secret --secret-id {about['ARN']}`, then deploy",
        )
    elif not known:
        yield error(
            "secret",
            f"the secret {secret_id} exists and does not have this stack's tags: use it with --parameter"
            f" DatabaseSecretArn={about['ARN']}, or give it the tags {retained.marks(stack)} and deploy imports it",
        )


def _value(
    client: SecretsManagerClient, secret_id: str, parameters: Mapping[str, str], tables: Iterable[Table]
) -> Iterator[Finding]:
    """Why jobs would fail with the value of the secret."""
    text = client.get_secret_value(SecretId=secret_id).get("SecretString")
    try:
        database = database_from_secret(secret_id, text, endpoint(parameters))
    except InvalidInputError as wrong:
        yield warning("secret", f"{wrong}. Jobs fail until this is fixed")
        return
    hashing = [table.name for table in tables if hashed(table.columns)]
    if hashing and not database.pepper:
        yield warning(
            "secret",
            f"the secret {secret_id} has no {PEPPER_FIELD}, under which columns of {', '.join(hashing)} are hashed: run"
            " `python -m aws_setup secret --new-pepper`. These tables fail until then",
        )
    port = parameters.get("DatabasePort", "")
    if parameters.get("VpcId") and not parameters.get("SecurityGroupIds") and port not in ("", str(database.port)):
        yield error(
            "secret",
            f"the secret {secret_id} has port {database.port}, but the job's security group opens port {port}: deploy"
            f" with --parameter DatabasePort={database.port}",
        )


def parse_fields(text: str) -> dict[str, str]:
    """The fields in `text`: a JSON object, or KEY=VALUE lines. A line that starts with `#` is a comment.

    A value in single or double quotes may span several lines. Raises UsageError, which names the line without showing
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
            raise UsageError(f"line {number} of the input does not have the form KEY=VALUE")
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
    raise UsageError(f"line {number} of the input opens a quote that is never closed")


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
