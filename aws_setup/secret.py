"""The secret of the source database: its fields are read from standard input and never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from aws_setup.errors import UsageError
from ingest_assets.stack import StackOutputs
from spark_scripts.database import REQUIRED, is_port

if TYPE_CHECKING:
    from boto3.session import Session

OPTIONAL = ("POSTGRES_SSLMODE",)

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
