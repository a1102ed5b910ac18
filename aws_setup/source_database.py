"""The user's own database, by `--source-dsn`: the source of the local account, or what `suggest` looks at.

Each parameter of the DSN reaches the job through a field of the secret, or is refused by name. libpq also takes
parameters from environment variables and service files, so the parameters of the open connection are checked, not only
those in the text.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aws_setup.errors import SourceDsnError, UsageError
from spark_scripts.contract import tls
from spark_scripts.contract.errors import InvalidInputError

_CONNECT_SECONDS = 10
_FORM = (
    "the source DSN is not of the form postgresql://user:password@host:5432/database or host=… user=… dbname=…"
    " (in a URL write @ / % within a password as %40 %2F %25)"
)

_CARRIED = {
    *("host", "hostaddr", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "options"),
    *("passfile", "service", "servicefile"),  # libpq reads the other parameters from these
}
_HARMLESS = {
    *("application_name", "fallback_application_name"),  # the job sets its execution's name, which identifies its locks
    *("connect_timeout", "tcp_user_timeout"),  # the job has time limits of its own
    *(
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
    ),  # the job keeps its connections alive itself
    "client_encoding",  # pgjdbc always asks for UTF-8
    "sslcompression",  # Java compresses nothing, nor does OpenSSL
    *("krbsrvname", "gsslib", "gssdelegation"),  # the job has a password, and no ticket
}
"""Parameters that change neither what the job reads nor which server it trusts."""

_HARMLESS_VALUES = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "replication": ("0", "false", "off", "no"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2"),  # Java takes nothing older
    "sslcertmode": ("disable", "allow"),
    "sslnegotiation": ("postgres",),
    "sslsni": ("1",),
    "target_session_attrs": ("any",),
}
"""Values that pgjdbc implements without being asked."""

_ADVICE = {
    "channel_binding": "leave it out; sslmode=verify-full proves the server's identity",
    "target_session_attrs": "name a single server",
    "load_balance_hosts": "name a single server",
    "sslcert": "use a user with a password, since client certificates are not supported",
    "sslkey": "use a user with a password, since client certificates are not supported",
}


@dataclass(frozen=True)
class SourceDatabase:
    """A database that accepted a connection: its DSN, and the fields of the database secret for it."""

    dsn: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    description: str


def read_dsn(given: str) -> str:
    """The DSN: `given`, or for `-` the first line of standard input, so that no process table shows a password.

    It reads no further than that line. Raises UsageError when standard input is empty.
    """
    if given != "-":
        return given
    line = b""
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    if not line.strip():
        raise UsageError("--source-dsn - reads the DSN from standard input, but standard input is empty")
    return line.decode().strip()


def open_source(dsn: str) -> SourceDatabase:
    """Connect once to the database of `dsn`, a libpq URL or key=value pairs.

    libpq reads missing parameters from PGPASSWORD and other variables, ~/.pgpass or a service file. Raises
    SourceDsnError, which never shows the password, nor a part of one that is in the wrong place.
    """
    given = _parsed(dsn)
    _check_parameters(given)
    hosts = {name: given.get(name) or os.environ.get(f"PG{name.upper()}", "") for name in ("host", "hostaddr")}
    _check_parameters(hosts)  # psycopg reports only the host that answered
    if all(hosts.values()):
        raise SourceDsnError(
            "the source DSN has host and hostaddr: give only one of them, since pgjdbc knows only host"
        )
    try:
        with psycopg.connect(make_conninfo(dsn, connect_timeout=_CONNECT_SECONDS)) as connection:
            return _described(dsn, connection.info)
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise SourceDsnError(f"cannot connect to the source database: {reason}") from None  # the cause contains the DSN


def _described(dsn: str, info: psycopg.ConnectionInfo) -> SourceDatabase:
    parameters = info.get_parameters()
    _check_parameters(parameters)
    if info.host.startswith("/"):
        raise SourceDsnError(
            f"the source DSN connects to the Unix socket in {info.host}: give a host and a port, which Spark needs"
        )
    if not info.password:
        raise SourceDsnError("the source DSN has no password, but the job needs one: use a user with a password")
    fields = {
        "POSTGRES_HOST": info.host,
        "POSTGRES_PORT": str(info.port),
        "POSTGRES_USER": info.user,
        "POSTGRES_PASSWORD": info.password,
        "POSTGRES_DB": info.dbname,
        **_tls_fields(parameters),
        **({"POSTGRES_OPTIONS": info.options} if info.options else {}),
    }
    resolved = make_conninfo(dsn, password=info.password)
    version = info.server_version // 10000
    return SourceDatabase(resolved, fields, f"PostgreSQL {version}, {info.dbname} on {info.host}:{info.port}")


def _tls_fields(parameters: Mapping[str, str]) -> dict[str, str]:
    """The TLS fields of the secret for what libpq did. libpq's default is `prefer`, the secret's is `require`."""
    mode, file = parameters.get("sslmode", "prefer"), parameters.get("sslrootcert", "")
    if file == tls.SYSTEM:
        return {"POSTGRES_SSLMODE": mode, "POSTGRES_SSLROOTCERT": file}
    default = Path.home() / ".postgresql" / "root.crt"
    if not file and mode in ("require", "verify-ca", "verify-full") and default.exists():
        file = str(default)
    try:
        certificates = tls.certificates(Path(file).read_text(encoding="ascii", errors="replace")) if file else ""
        mode, certificates = tls.checked(mode, certificates)
    except (OSError, InvalidInputError) as error:
        shown = error.strerror if isinstance(error, OSError) else error
        raise SourceDsnError(f"the source DSN's sslmode={mode} with sslrootcert={file}: {shown}") from error
    return {"POSTGRES_SSLMODE": mode, **({"POSTGRES_SSLROOTCERT": certificates} if certificates else {})}


def _check_parameters(parameters: Mapping[str, str]) -> None:
    for name, value in parameters.items():
        if name not in _CARRIED | _HARMLESS and value not in _HARMLESS_VALUES.get(name, ()):
            advice = _ADVICE.get(name, "leave it out (it may also come from libpq's environment or a service file)")
            raise SourceDsnError(f"the parameter {name} of the source DSN cannot be passed on to the job: {advice}")
    if any("," in parameters.get(name, "") for name in ("host", "hostaddr")):
        raise SourceDsnError(
            "the source DSN names several hosts: name one, since all connections of a job must reach the server that"
            " has its snapshot"
        )


def _parsed(dsn: str) -> dict[str, str]:
    """The parameters in `dsn`. Raises SourceDsnError, naming a parameter that libpq does not know."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise SourceDsnError(_unknown_parameter(dsn, str(error)) or _FORM) from None
    # An unescaped character in a URL's password moves parts of it into fields that errors show.
    shown = [str(given.get(name, "")) for name in ("host", "port", "user", "dbname")]
    port = str(given.get("port", ""))
    if not re.fullmatch(r"\d*(,\d*)*", port) or any("@" in value for value in shown[:1] + shown[3:]):
        raise SourceDsnError(_FORM)
    return {name: str(value) for name, value in given.items()}


def _unknown_parameter(dsn: str, reason: str) -> str | None:
    """An error that names the unknown parameter, or only its place if the name may be part of a password."""
    match = re.search(r'invalid (?:URI query parameter|connection option): "(\w+)"|option "(\w+)"', reason)
    name = (match[1] or match[2]) if match else ""
    after_password = rf"password\s*=\s*[^'\s]\S*\s+{name}\s*="
    if not name or "@" in dsn.partition("?")[2]:
        return None
    if re.search(after_password, dsn):
        return (
            "the source DSN has an unknown parameter right after the password: leave it out, or put the password in"
            " single quotes if it contains a space"
        )
    return f"the source DSN has the unknown parameter {name}: leave it out"
