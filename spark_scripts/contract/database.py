"""The source database, as its secret describes it.

The secret has the project's own fields, or the fields of the secrets that AWS makes: the templates for rotation write
`host`, `port`, `username`, `password`, `dbname` and `engine`; RDS writes only `username` and `password`. The stack's
parameters give the rest: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Optional
from urllib.parse import quote

from spark_scripts.contract import tls
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.privacy import PEPPER_FIELD, SHORTEST_PEPPER

HELP = "set it with `python -m aws_setup secret`"
"""What to do about a wrong secret."""

REQUIRED = ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")
OPTIONAL = ("POSTGRES_SSLMODE", "POSTGRES_SSLROOTCERT", "POSTGRES_OPTIONS", PEPPER_FIELD)
"""Fields that a secret of either form may have too."""

AWS_FIELDS = dict(zip(("host", "port", "username", "password", "dbname"), REQUIRED))
"""The fields of secrets that AWS makes, with our names for them."""

_AWS_CURES = {
    "POSTGRES_HOST": "deploy with --parameter DatabaseHost=…",
    "POSTGRES_PORT": "deploy with --parameter DatabasePort=…",
    "POSTGRES_DB": "deploy with --parameter DatabaseName=…",
    "POSTGRES_USER": "take the secret of a database's user",
    "POSTGRES_PASSWORD": "take the secret of a database's user",
}
_ENGINES = ("postgres", "postgresql", "aurora-postgresql")


@dataclass(frozen=True)
class Database:
    """Where the source is and who reads it. Password and pepper are in neither `repr` nor the URL.

    `sslmode` and `sslrootcert` are as `tls.checked` returns them, `options` as in libpq. `pepper` is the key of the
    hashes, "" where the secret has none; it never goes to PostgreSQL.
    """

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    sslmode: str = "require"
    sslrootcert: str = field(default="", repr=False)
    options: str = ""
    pepper: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The JDBC URL, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"jdbc:postgresql://{host}:{self.port}/{quote(self.name, safe='')}"

    def properties(self, application_name: str, startup: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """The connection properties of pgjdbc; PostgreSQL shows `application_name` in pg_stat_activity.

        `startup` are settings for the session to begin with; they win over those in `options`. The certificates must
        have been given to Spark before a connection is made.
        """
        properties = {
            "user": self.user,
            "password": self.password,
            "ApplicationName": application_name,
            "tcpKeepAlive": "true",
            "loginTimeout": "30",
            **tls.properties(self.sslmode, self.sslrootcert),
        }
        options = " ".join(filter(None, (self.options, startup_options(startup))))
        if options:
            properties["options"] = options
        return properties

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.name}"


@dataclass(frozen=True)
class Endpoint:
    """The stack's parameters DatabaseHost, DatabasePort and DatabaseName; "" for a parameter that is not set."""

    host: str = ""
    port: str = ""
    name: str = ""


def secret_fields(secret_id: str, text: Optional[str]) -> Mapping[str, Any]:
    """The fields of a secret from its SecretString, which is None for a binary secret.

    Raises InvalidInputError naming the secret; the message holds no value.
    """
    if text is None:
        raise InvalidInputError(f"secret {secret_id} holds no text: {HELP}")
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise InvalidInputError(f"secret {secret_id} is not a JSON object: {HELP}")
    return fields


def database_from_secret(secret_id: str, text: Optional[str], endpoint: Endpoint) -> Database:
    """The database that a secret describes by its SecretString: `secret_fields`, then `database_from_fields`.

    Raises InvalidInputError naming the secret and the field that is wrong.
    """
    fields = secret_fields(secret_id, text)
    try:
        return database_from_fields(fields, endpoint)
    except InvalidInputError as error:
        raise InvalidInputError(f"secret {secret_id}: {error}") from error.__cause__


def database_from_fields(fields: Mapping[str, Any], endpoint: Endpoint) -> Database:
    """The database that a secret's fields describe. `endpoint` gives what a secret that AWS made does not have.

    Raises InvalidInputError naming the field that is wrong; the message holds no value.
    """
    fields = {name: value for name, value in fields.items() if value not in ("", None)}
    _check_names(fields)
    given = {AWS_FIELDS.get(name, name): _text(name, value) for name, value in fields.items()}
    _check_endpoint(given, endpoint)
    if has_aws_fields(fields):
        given = {"POSTGRES_HOST": endpoint.host, "POSTGRES_PORT": endpoint.port, "POSTGRES_DB": endpoint.name, **given}
    _check_present(given, cures=_AWS_CURES if has_aws_fields(fields) else {})
    _check_address(given["POSTGRES_HOST"], given["POSTGRES_PORT"])
    sslmode, sslrootcert = tls.checked(given.get("POSTGRES_SSLMODE", ""), given.get("POSTGRES_SSLROOTCERT", ""))
    return Database(
        host=given["POSTGRES_HOST"],
        port=int(given["POSTGRES_PORT"]),
        name=given["POSTGRES_DB"],
        user=given["POSTGRES_USER"],
        password=given["POSTGRES_PASSWORD"],
        sslmode=sslmode,
        sslrootcert=sslrootcert,
        options=given.get("POSTGRES_OPTIONS", ""),
        pepper=_pepper(given.get(PEPPER_FIELD, "")),
    )


def has_aws_fields(fields: Mapping[str, Any]) -> bool:
    """Whether a secret has fields of the secrets that AWS makes."""
    return any(name in fields for name in (*AWS_FIELDS, "engine"))


def startup_options(settings: Mapping[str, str]) -> str:
    """`settings` in the form of the startup parameter `options`, in which a backslash escapes a space."""
    escaped = {name: value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())


def _check_names(fields: Mapping[str, Any]) -> None:
    """Refuse misspelt names of our fields: AWS allows any field in a secret, so they would be ignored in silence."""
    known = (*REQUIRED, *OPTIONAL)
    ours = (name for name in fields if name.upper().startswith(("POSTGRES", "PII")) or "PEPPER" in name.upper())
    unknown = sorted(name for name in ours if name not in known)
    if unknown:
        raise InvalidInputError(f"unknown field {unknown[0]}: the fields are {', '.join(known)}")
    own = [name for name in REQUIRED if name in fields]
    if own and has_aws_fields(fields):
        theirs = next(name for name in (*AWS_FIELDS, "engine") if name in fields)
        raise InvalidInputError(f"{own[0]} and {theirs} are fields of two forms: give the fields of one form only")
    if fields.get("engine", _ENGINES[0]) not in _ENGINES:
        raise InvalidInputError("the engine is not postgres: take the secret of a PostgreSQL database")


def _check_endpoint(given: Mapping[str, str], endpoint: Endpoint) -> None:
    pairs = (("POSTGRES_HOST", endpoint.host, "Host"), ("POSTGRES_DB", endpoint.name, "Name"))
    for name, of_stack, parameter in pairs:
        if of_stack and given.get(name, of_stack) != of_stack:
            raise InvalidInputError(
                f"its {parameter.lower()} differs from the stack's parameter Database{parameter}: make them equal, or"
                " deploy with that parameter empty"
            )


def _check_present(given: Mapping[str, str], cures: Mapping[str, str]) -> None:
    missing = [name for name in REQUIRED if not given.get(name)]
    if missing:
        names = {ours: theirs for theirs, ours in AWS_FIELDS.items()} if cures else {}
        listed = ", ".join(names.get(name, name) for name in missing)
        raise InvalidInputError(f"{listed} missing: {cures.get(missing[0], HELP)}")


def _check_address(host: str, port: str) -> None:
    """Require one server: a snapshot can be used only on the server that exported it."""
    try:
        good = bool(ip_address(host)) if ":" in host else re.fullmatch(r"[\w.-]+", host)
    except ValueError:
        good = False
    if not good:
        raise InvalidInputError(f"the host must be one name or address, without a port: {HELP}")
    if not is_port(port):
        raise InvalidInputError(f"the port must be a number from 1 to 65535: {HELP}")


def is_port(text: str) -> bool:
    """Whether `text` is the number of a TCP port."""
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _pepper(pepper: str) -> str:
    if pepper and len(pepper) < SHORTEST_PEPPER:
        raise InvalidInputError(
            f"{PEPPER_FIELD} must have at least {SHORTEST_PEPPER} characters: make a random one with"
            " `python -m aws_setup secret --new-pepper`"
        )
    return pepper


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidInputError(f"{name} must be a string")
    return str(value)
