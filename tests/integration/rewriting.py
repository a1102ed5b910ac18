"""Statements that rewrite, replace or rearrange a table, and the moments of a job at which they are run.

Whatever they do, the table has 1000 rows in January and February 2024 before and after, whose notes are all of one
version.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from spark_scripts.lake.staging import Stage
from spark_scripts.postgres.connection import Connection

ROWS = 1000

_FILL = (
    "SELECT n AS id, '2024-01-01'::timestamp + n % 60 * interval '1 day' AS at, '{note}'::text AS note"
    f" FROM generate_series(1, {ROWS}) n"
)
OLD, NEW = _FILL.format(note="old"), _FILL.format(note="new")

TABLE = f"DROP TABLE IF EXISTS rw.t CASCADE; CREATE TABLE rw.t AS {OLD}"
_PARTITIONED = f"""
DROP TABLE IF EXISTS rw.t CASCADE; DROP TABLE IF EXISTS rw.january, rw.rebuilt CASCADE;
CREATE TABLE rw.t (id int, at timestamp, note text) PARTITION BY RANGE (at);
CREATE TABLE rw.january PARTITION OF rw.t FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE rw.february PARTITION OF rw.t FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO rw.t {OLD};
"""
_INHERITED = f"""
DROP TABLE IF EXISTS rw.t CASCADE; DROP TABLE IF EXISTS rw.child, rw.rebuilt CASCADE;
CREATE TABLE rw.t (id int, at timestamp, note text); CREATE TABLE rw.child () INHERITS (rw.t);
INSERT INTO rw.child {OLD};
"""
_VIEW = f"""
DROP VIEW IF EXISTS rw.t; DROP TABLE IF EXISTS rw.t, rw.base, rw.other CASCADE;
CREATE TABLE rw.base AS {OLD}; CREATE TABLE rw.other (LIKE rw.base); CREATE VIEW rw.t AS SELECT * FROM rw.base;
"""
_MATERIALISED = f"""
DROP TABLE IF EXISTS rw.t, rw.base CASCADE;
CREATE TABLE rw.base AS {OLD}; CREATE MATERIALIZED VIEW rw.t AS SELECT * FROM rw.base;
"""
_JANUARY = "at < '2024-02-01'"

REWRITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "TRUNCATE and INSERT": (TABLE, (f"BEGIN; TRUNCATE rw.t; INSERT INTO rw.t {NEW}; COMMIT",)),
    "TRUNCATE, COPY FREEZE, then UPDATE": (
        TABLE,
        ("BEGIN; TRUNCATE rw.t", "COPY rw.t FROM STDIN (FREEZE)", "COMMIT", "UPDATE rw.t SET id = id"),
    ),
    "ALTER COLUMN TYPE": (TABLE, ("ALTER TABLE rw.t ALTER id TYPE bigint",)),
    "DROP COLUMN and ADD COLUMN of that name": (
        TABLE,
        ("BEGIN; ALTER TABLE rw.t DROP note; ALTER TABLE rw.t ADD note text DEFAULT 'new'; COMMIT",),
    ),
    "CREATE TABLE AS and a swap by rename": (
        TABLE,
        (
            f"CREATE TABLE rw.next AS {NEW}",
            "BEGIN; ALTER TABLE rw.t RENAME TO before; ALTER TABLE rw.next RENAME TO t; COMMIT; DROP TABLE rw.before",
        ),
    ),
    "DROP TABLE and CREATE TABLE AS": (TABLE, (f"BEGIN; DROP TABLE rw.t; CREATE TABLE rw.t AS {NEW}; COMMIT",)),
    "DETACH and ATTACH of a rebuilt partition": (
        _PARTITIONED,
        (
            f"CREATE TABLE rw.rebuilt AS SELECT * FROM ({OLD}) s WHERE {_JANUARY}",
            "BEGIN; ALTER TABLE rw.t DETACH PARTITION rw.january; ALTER TABLE rw.t ATTACH PARTITION rw.rebuilt"
            " FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); COMMIT",
        ),
    ),
    "TRUNCATE and INSERT of a partition": (
        _PARTITIONED,
        (f"BEGIN; TRUNCATE rw.january; INSERT INTO rw.january SELECT * FROM ({OLD}) s WHERE {_JANUARY}; COMMIT",),
    ),
    "NO INHERIT and INHERIT of a rebuilt child": (
        _INHERITED,
        (
            f"CREATE TABLE rw.rebuilt (LIKE rw.t); INSERT INTO rw.rebuilt {NEW}",
            "BEGIN; ALTER TABLE rw.child NO INHERIT rw.t; ALTER TABLE rw.rebuilt INHERIT rw.t; COMMIT",
        ),
    ),
    "TRUNCATE and INSERT below a view": (_VIEW, (f"BEGIN; TRUNCATE rw.base; INSERT INTO rw.base {NEW}; COMMIT",)),
    "INSERT into another table and CREATE OR REPLACE VIEW": (
        _VIEW,
        (f"BEGIN; INSERT INTO rw.other {NEW}; CREATE OR REPLACE VIEW rw.t AS SELECT * FROM rw.other; COMMIT",),
    ),
    "REFRESH MATERIALIZED VIEW": (_MATERIALISED, ("UPDATE rw.base SET note = 'new'", "REFRESH MATERIALIZED VIEW rw.t")),
    "VACUUM FULL": (TABLE, ("UPDATE rw.t SET note = 'new'", "VACUUM FULL rw.t")),
}
"""By name: what makes the table, and the commands of the rewrite."""


def rewrite(dsn: str, commands: tuple[str, ...]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for command in commands:
            if "FROM STDIN" in command:
                with connection.cursor().copy(command.encode()) as copy:
                    for n in range(1, ROWS + 1):
                        copy.write_row((n, f"2024-0{1 + (n % 60 > 30)}-{n % 60 % 31 % 29 + 1} 00:00:00", "new"))
            else:
                for one in command.split("; "):
                    connection.execute(one.encode())


@dataclass
class Trigger:
    """Runs a rewrite in a session of its own at one moment of the job, and waits for it unless it is blocked.

    `seconds` is how long it took.
    """

    dsn: str = field(repr=False)
    commands: tuple[str, ...]
    thread: threading.Thread | None = None
    failure: BaseException | None = None
    seconds: float = float("inf")

    def pull(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self._work)
            self.thread.start()
            self.thread.join(0.5)

    def _work(self) -> None:
        begun = time.monotonic()
        try:
            rewrite(self.dsn, self.commands)
            self.seconds = time.monotonic() - begun
        except BaseException as error:
            self.failure = error
            raise

    def finish(self) -> None:
        assert self.thread is not None, "the moment never came"
        self.thread.join(30)
        assert not self.thread.is_alive(), "the rewrite was never let through"
        assert self.failure is None


@contextmanager
def at_statement(trigger: Trigger, number: int) -> Iterator[list[str]]:
    """Pull the trigger before the driver's statement of this number since the snapshot; yields all its statements."""
    said: list[str] = []

    def counting(method: Any) -> Any:
        def said_in_turn(self: Connection, statement: str, *arguments: Any) -> Any:
            if self.pid and threading.current_thread().name not in ("watch", "progress"):
                if len(said) == number:
                    trigger.pull()
                said.append(statement)
            return method(self, statement, *arguments)

        return said_in_turn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "_text", counting(Connection._text))
        patch.setattr(Connection, "execute", counting(Connection.execute))
        yield said


@contextmanager
def while_reading(trigger: Trigger, table: str) -> Iterator[None]:
    """Pull the trigger when Spark begins to read the table of this name."""
    write = Stage.write

    def pulled(self: Stage, *arguments: Any) -> Any:
        if self._table.name == table:
            trigger.pull()
        return write(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "write", pulled)
        yield
