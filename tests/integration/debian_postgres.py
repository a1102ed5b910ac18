"""Debian's PostgreSQL with contrib, for what the embedded one lacks: xml, extension types, foreign tables."""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from aws_setup.local.processes import Child

_EXTENSIONS = ("citext", "cube", "hstore", "isn", "ltree", "postgres_fdw", "seg")
_INSTALLED = sorted(
    (
        folder
        for folder in Path("/usr/lib/postgresql").glob("*")
        if all(
            Path("/usr/share/postgresql", folder.name, "extension", f"{name}.control").exists() for name in _EXTENSIONS
        )
    ),
    key=lambda folder: int(folder.name),
)
INSTALLED = bool(_INSTALLED)
MISSING = "needs Debian's PostgreSQL with its contrib modules: apt-get install postgresql postgresql-contrib"

_START_SECONDS = 60


@contextmanager
def debian_postgres() -> Iterator[str]:
    """A new server of the newest version installed, on a free loopback port. Gives the DSN of a superuser."""
    password = secrets.token_urlsafe(16)
    with ExitStack() as stack:
        # Not pytest's tmp_path: its folders are closed to the server's user.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="debian-postgres-")))
        user = _unprivileged_user()
        if user:
            os.chown(folder, *user)
        (folder / "password").write_text(password)
        _initialise(folder, user)
        port = _free_port()
        dsn = f"postgresql://owner:{password}@127.0.0.1:{port}/postgres"
        _start(stack, folder, user, port, dsn)
        yield dsn


def _initialise(folder: Path, user: tuple[int, int] | None) -> None:
    options = ("--no-sync", "--encoding=UTF8", "--locale=C", "--username=owner", "--auth=scram-sha-256")
    program, password = _INSTALLED[-1] / "bin" / "initdb", f"--pwfile={folder / 'password'}"
    command: list[str | Path] = [program, "-D", folder / "data", password, *options]
    with (folder / "log").open("wb") as log, Child(command, user=user, stdout=log, stderr=log) as child:
        assert child.wait(_START_SECONDS) == 0, (folder / "log").read_text()


def _start(stack: ExitStack, folder: Path, user: tuple[int, int] | None, port: int, dsn: str) -> None:
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": str(port)}
    log = stack.enter_context((folder / "log").open("wb"))
    server = stack.enter_context(
        Child(
            [
                _INSTALLED[-1] / "bin" / "postgres",
                *("-D", folder / "data"),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            user=user,
            stdout=log,
            stderr=log,
            stop_signal=signal.SIGINT,
        )
    )
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"Debian's PostgreSQL did not start: {(folder / 'log').read_text()}")


def _unprivileged_user() -> tuple[int, int] | None:
    """Whom the server runs as when this process is root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
