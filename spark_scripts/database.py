"""The source database, as the POSTGRESQL secret describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote

from botocore.exceptions import ClientError

from spark_scripts.errors import InvalidInputError
from spark_scripts.session import startup_options

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_HELP = "set it with `python -m aws_setup secret`"
REQUIRED = ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")


@dataclass(frozen=True)
class Database:
    """Where the source is and who reads it. The password is in neither `repr` nor the URL."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    sslmode: Optional[str] = None

    @property
    def url(self) -> str:
        """The JDBC URL, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"jdbc:postgresql://{host}:{self.port}/{quote(self.name, safe='')}"

    def properties(self, application_name: str, startup: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """The connection properties of pgjdbc; PostgreSQL shows `application_name` in pg_stat_activity.

        `startup` are settings for the session to begin with.
        """
        properties = {
            "user": self.user,
            "password": self.password,
            "ApplicationName": application_name,
            "tcpKeepAlive": "true",
            "loginTimeout": "30",
        }
        if startup:
            properties["options"] = startup_options(startup)
        if self.sslmode:
            properties["sslmode"] = self.sslmode
        return properties

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.name}"


def read_secret(client: SecretsManagerClient, secret_id: str) -> Mapping[str, Any]:
    """The fields of a secret that holds a JSON object. Raises InvalidInputError naming the secret."""
    try:
        text = client.get_secret_value(SecretId=secret_id)["SecretString"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise InvalidInputError(f"secret {secret_id} cannot be read ({code}): {_HELP}") from error
    except KeyError as error:
        raise InvalidInputError(f"secret {secret_id} holds no text: {_HELP}") from error
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise InvalidInputError(f"secret {secret_id} is not a JSON object: {_HELP}")  # its text stays unseen
    return fields


def is_port(text: str) -> bool:
    """Whether `text` is the number of a TCP port."""
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def database_from_secret(secret_id: str, fields: Mapping[str, Any]) -> Database:
    """The database that the secret's fields describe. Raises InvalidInputError naming the field that is wrong."""
    missing = [key for key in REQUIRED if not str(fields.get(key) or "")]
    if missing:
        raise InvalidInputError(f"secret {secret_id} has no {', '.join(missing)}: {_HELP}")
    port = str(fields["POSTGRES_PORT"])
    if not is_port(port):
        raise InvalidInputError(f"secret {secret_id}: POSTGRES_PORT is no port number: {_HELP}")
    return Database(
        host=str(fields["POSTGRES_HOST"]),
        port=int(port),
        name=str(fields["POSTGRES_DB"]),
        user=str(fields["POSTGRES_USER"]),
        password=str(fields["POSTGRES_PASSWORD"]),
        sslmode=fields.get("POSTGRES_SSLMODE") or None,
    )
