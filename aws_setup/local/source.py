"""The user's own database as the source of the local account (`--source-dsn`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aws_setup.local.errors import SourceError

_CONNECT_SECONDS = 10
_FORM = (
    "the source DSN is not of the form postgresql://user:password@host:5432/database or host=… user=… dbname=…"
    " (in a URL write @ / % within a password as %40 %2F %25)"
)


@dataclass(frozen=True)
class Source:
    """A database that answered: its DSN and the fields of the database secret that lead to it."""

    dsn: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    description: str


def open_source(dsn: str) -> Source:
    """Connect once to the database of `dsn`, a libpq URL or key=value pairs.

    What `dsn` leaves out comes from libpq's own sources (PGPASSWORD, ~/.pgpass, a service file). Raises SourceError,
    which never shows the password, nor a piece of one that stands in the wrong place.
    """
    _check_form(dsn)
    try:
        with psycopg.connect(make_conninfo(dsn, connect_timeout=_CONNECT_SECONDS)) as connection:
            return _described(dsn, connection.info)
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"cannot connect to the source database: {reason}") from None  # the cause holds the DSN


def _described(dsn: str, info: psycopg.ConnectionInfo) -> Source:
    if info.host.startswith("/"):
        raise SourceError(f"the source DSN leads to the Unix socket in {info.host}: Spark needs a host and port")
    fields = {
        "POSTGRES_HOST": info.host,
        "POSTGRES_PORT": str(info.port),
        "POSTGRES_USER": info.user,
        "POSTGRES_PASSWORD": info.password,
        "POSTGRES_DB": info.dbname,
    }
    sslmode = info.get_parameters().get("sslmode")
    if sslmode:
        fields["POSTGRES_SSLMODE"] = sslmode
    resolved = make_conninfo(dsn, password=info.password) if info.password else dsn
    version = info.server_version // 10000
    return Source(resolved, fields, f"PostgreSQL {version}, {info.dbname} on {info.host}:{info.port}")


def _check_form(dsn: str) -> None:
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise SourceError(_FORM) from None
    # An unescaped character in a URL's password shifts its pieces into other fields, which error messages show.
    shown = [str(given.get(name, "")) for name in ("host", "port", "user", "dbname")]
    port = str(given.get("port", ""))
    if not re.fullmatch(r"\d*(,\d*)*", port) or any("@" in value for value in shown[:1] + shown[3:]):
        raise SourceError(_FORM)
