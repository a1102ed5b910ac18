"""Databases for `suggest` to look at, and what it says about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aws_setup.cli import main
from tests.integration.servers import Server, embedded_programs, new_server

DATABASES = Path(__file__).with_name("databases")


@contextmanager
def databases(*names: str) -> Iterator[Server]:
    """A server in Chicago with databases of these names, filled from the file of that name where there is one."""
    with new_server(embedded_programs("pginstall"), timezone="America/Chicago") as server:
        for name in names:
            with server.connect() as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            file = DATABASES / f"{name}.sql"
            if file.exists():
                with psycopg.connect(dsn_of(server, name), autocommit=True) as connection:
                    connection.execute(file.read_bytes())
        yield server


def dsn_of(server: Server, name: str, **changes: str) -> str:
    """The DSN of one database of the server, as its superuser unless `changes` name another user."""
    return make_conninfo(server.dsn, dbname=name, **changes)


def password_of(server: Server) -> str:
    """The superuser's password."""
    return str(conninfo_to_dict(server.dsn)["password"])


@dataclass(frozen=True)
class Said:
    """The exit code of `suggest`, its file on standard output, and its lines for people on standard error."""

    code: int
    file: str
    report: str

    def entry(self, table: str) -> str:
        """The block of the entry of `table`, with the comments above it."""
        [found] = [block for block in self.file.split("\n\n") if f"table: {table}\n" in f"{block}\n"]
        return found

    @property
    def rights(self) -> list[str]:
        """The statements that would give the user what it lacks."""
        _, found, lines = self.report.partition("The user lacks rights. Let the owner, or a superuser, run:\n")
        return lines.strip().splitlines() if found else []


def suggest(capsys: pytest.CaptureFixture[str], dsn: str, *arguments: str) -> Said:
    """Run the command."""
    capsys.readouterr()
    code = main(["suggest", "--source-dsn", dsn, *arguments])
    said = capsys.readouterr()
    return Said(code, said.out, said.err)
