"""Random histories of a table: what applications, administrators and maintenance do to it, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import psycopg

from spark_scripts.contract.tables import Table

MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04")
KINDS = ("plain", "partitioned", "inherited")
DATE_TYPES = ("date", "timestamp", "timestamptz")
ZONES = ("UTC", "America/Havana", "America/St_Johns")
SESSIONS = 4
"""An administrator's, and those of three applications."""

_TYPES = """
DROP SCHEMA IF EXISTS h CASCADE; CREATE SCHEMA h;
CREATE TYPE h.mood AS ENUM ('sad', 'ok', 'glad'); CREATE DOMAIN h.mark AS h.mood;
CREATE TYPE h.place AS (x int, m h.mood);
"""
_COLUMNS = "id int, owner int, at {at}, note text, other text, mood h.mark, place h.place, moods h.mood[]"
_TABLES = {
    "plain": "CREATE TABLE h.t ({columns}); CREATE INDEX t_id ON h.t (id);",
    "partitioned": """
        CREATE TABLE h.t ({columns}) PARTITION BY RANGE (at); CREATE TABLE h.rest PARTITION OF h.t DEFAULT;
        CREATE TABLE h.a PARTITION OF h.t FOR VALUES FROM ('2024-02-01') TO ('2024-03-01'); CREATE TABLE h.b (LIKE h.t);
    """,
    "inherited": "CREATE TABLE h.t ({columns}); CREATE TABLE h.a () INHERITS (h.t);",
}
_ROW = (
    "SELECT n, {owner}, '{month}-01 02:00'::{at} + n % 25 * interval '1 day', 'note ' || n, 'other ' || n,"
    " (enum_range(NULL::h.mood))[1 + n % 3],"
    " jsonb_populate_record(NULL::h.place, jsonb_build_object('x', n, 'm', (enum_range(NULL::h.mood))[1 + n % 2])),"
    " enum_range(NULL::h.mood)"
    " FROM generate_series({first}, {last}) AS n"
)
_LISTED = "(id, owner, at, note, other, mood, place, moods)"


@dataclass
class _Writer:
    """A session of an application; `open` while it is in a transaction. It writes its own rows alone: no one waits."""

    number: int
    connection: psycopg.Connection[Any]
    open: bool = False
    savepoints: int = 0


class History:
    """A table and those who change it. The same seed does the same."""

    def __init__(self, seed: int, connections: list[psycopg.Connection[Any]]) -> None:
        self.random = Random(seed)  # noqa: S311  (a history, not a secret)
        self._admin, *applications = connections
        self._writers = [_Writer(number, connection) for number, connection in enumerate(applications)]
        self.kind = KINDS[seed % len(KINDS)]
        self._at = DATE_TYPES[seed // len(KINDS) % len(DATE_TYPES)]
        # The job reads some of the tables itself, and lets Spark read the others.
        slices = 1 if seed % 2 else None
        self.table = Table("h", "h.t", "at", MONTHS[0], timezone=self.random.choice(ZONES), slices=slices)
        self._next_id = 0
        self._labels = 0
        self._columns = 0
        self._inside, self._outside = "a", "b"  # the partition of February, and one that is detached
        self.log: list[str] = []
        self._do(self._admin, _TYPES + _TABLES[self.kind].format(columns=_COLUMNS.format(at=self._at)))
        for writer in self._writers:
            self._insert(writer)
            self._insert(writer)

    def step(self) -> None:
        """Do one to three things, whatever they lock."""
        for _ in range(self.random.randint(1, 3)):
            self.random.choice((self._work, self._work, self._work, self._alter))()

    def write(self) -> None:
        """What may happen while the table is being read: work of applications, begun or ended."""
        for _ in range(self.random.randint(0, 3)):
            self._work()

    def around(self) -> None:
        """What may happen between the snapshot and the locks: as `write`, and a rewrite now and then."""
        self.write()
        if self.random.random() < 0.15:
            self.random.choice((self._truncate, self._frozen_copy, self._vacuum, self._cluster, self._rewrite))()

    def end(self) -> None:
        """Leave no transaction open."""
        for writer in self._writers:
            writer.connection.execute("ROLLBACK")

    def _do(self, connection: psycopg.Connection[Any], statement: str) -> None:
        self.log.append(" ".join(statement.split()))
        connection.execute(statement.encode())

    def _work(self) -> None:
        writer = self.random.choice(self._writers)
        choices: list[Callable[[_Writer], None]] = [self._insert, self._update, self._delete, self._move, self._replace]
        if writer.open:
            choices += [self._savepoint, self._savepoint, self._commit, self._commit, self._roll_back]
        else:
            choices += [self._begin, self._begin, self._load_both]
        self.random.choice(choices)(writer)

    def _insert(self, writer: _Writer) -> None:
        self._do(writer.connection, self._rows_for(writer, "h.t", self.random.choice(MONTHS)))
        if self.random.random() < 0.1:
            self._do(writer.connection, f"UPDATE h.t SET at = NULL WHERE id = {self._next_id - 1}")

    def _rows_for(self, writer: _Writer, table: str, month: str, rows: int = 0) -> str:
        first, self._next_id = self._next_id, self._next_id + (rows or self.random.randint(1, 4))
        made = _ROW.format(owner=writer.number, month=month, at=self._at, first=first, last=self._next_id - 1)
        return f"INSERT INTO {table} {_LISTED} {made}"

    def _some(self, writer: _Writer) -> str:
        return f"owner = {writer.number} AND id % {self.random.choice((2, 3, 5, 7))} = {self.random.randint(0, 2)}"

    def _update(self, writer: _Writer) -> None:
        self._do(writer.connection, f"UPDATE h.t SET note = 'v' || {self._next_id} WHERE {self._some(writer)}")

    def _delete(self, writer: _Writer) -> None:
        self._do(writer.connection, f"DELETE FROM h.t WHERE {self._some(writer)}")

    def _move(self, writer: _Writer) -> None:
        sign = self.random.choice("+-")
        self._do(writer.connection, f"UPDATE h.t SET at = at {sign} interval '1 month' WHERE {self._some(writer)}")

    def _replace(self, writer: _Writer) -> None:
        """As many rows as are deleted come in their place."""
        of_month = f"owner = {writer.number} AND at >= '2024-02-01' AND at < '2024-03-01'"
        deleted = f"WITH gone AS (DELETE FROM h.t WHERE {of_month} RETURNING at) "
        first, self._next_id = self._next_id, self._next_id + 1
        self._do(
            writer.connection,
            f"{deleted} INSERT INTO h.t (id, owner, at, note) SELECT {first}, {writer.number}, at, 'new' FROM gone",
        )

    def _begin(self, writer: _Writer) -> None:
        self._do(writer.connection, "BEGIN")
        writer.open, writer.savepoints = True, 0
        self._insert(writer)  # so that it has an id

    def _commit(self, writer: _Writer) -> None:
        self._do(writer.connection, "COMMIT")
        writer.open = False

    def _roll_back(self, writer: _Writer) -> None:
        self._do(writer.connection, "ROLLBACK")
        writer.open = False

    def _savepoint(self, writer: _Writer) -> None:
        if writer.savepoints and self.random.random() < 0.6:
            how = self.random.choice(("ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT"))
            self._do(writer.connection, f"{how} s{writer.savepoints}")
            writer.savepoints -= how.startswith("RELEASE")
        else:
            writer.savepoints += 1
            self._do(writer.connection, f"SAVEPOINT s{writer.savepoints}")
        self._insert(writer)

    def _load_both(self, writer: _Writer) -> None:
        """One transaction fills the partition of February and the one that is detached, with as many rows."""
        if self.kind == "partitioned":
            one, other = (self._rows_for(writer, f"h.{table}", MONTHS[1], 3) for table in "ab")
            self._do(writer.connection, f"BEGIN; {one}; {other}; COMMIT")

    def _alter(self) -> None:
        choices = [self._truncate, self._frozen_copy, self._vacuum, self._cluster, self._rewrite, self._rename_label]
        choices += [self._add_label, self._add_column, self._drop_column, self._retype, self._add_attribute]
        if self._at == "timestamptz":
            choices.append(self._change_zone)
        if self.kind == "partitioned":
            choices += [self._swap] * 4 + [self._swap_columns, self._add_again]
        if self.kind == "inherited":
            choices += [self._inherit] * 4
        self.random.choice(choices)()

    def _settle(self) -> None:
        """End the transactions of the applications, whose locks would keep the administrator waiting."""
        for writer in self._writers:
            if writer.open:
                self.random.choice((self._commit, self._roll_back))(writer)

    def _locking(self, statement: str) -> None:
        self._settle()
        self._do(self._admin, statement)

    def _truncate(self) -> None:
        self._locking("TRUNCATE h.t")

    def _frozen_copy(self) -> None:
        """Rows that are visible to snapshots older than their transaction, which also changes them."""
        if self.kind == "partitioned":
            return
        self._settle()
        self._do(self._admin, "BEGIN; TRUNCATE h.t")
        with self._admin.cursor().copy("COPY h.t (id, owner, at, note) FROM STDIN (FREEZE)") as copy:
            copy.write(f"{self._next_id}\t0\t2024-01-05\tfrozen\n{self._next_id + 1}\t1\t2024-02-05\tfrozen\n")
        self._next_id += 2
        self._do(self._admin, "UPDATE h.t SET note = 'thawed'; COMMIT")

    def _vacuum(self) -> None:
        self._settle()
        self._do(self._admin, f"VACUUM ({self.random.choice(('FREEZE', 'FULL', 'FREEZE, FULL'))}) h.t")

    def _cluster(self) -> None:
        if self.kind == "plain":
            self._locking("CLUSTER h.t USING t_id")

    def _everywhere(self, change: str) -> None:
        """Change the table, and the partition that is detached or the child that may be."""
        parts = {"partitioned": f"ALTER TABLE h.{self._outside} {change};"}
        self._locking(f"ALTER TABLE h.t {change}; {parts.get(self.kind, '')}")

    def _rewrite(self) -> None:
        self._everywhere("ALTER note TYPE text USING note || '.'")

    def _retype(self) -> None:
        self._everywhere(f"ALTER other TYPE {self.random.choice(('varchar', 'text'))}")

    def _add_column(self) -> None:
        self._columns += 1
        self._everywhere(f"ADD c{self._columns} text DEFAULT 'default {self._columns}'")

    def _drop_column(self) -> None:
        if self._columns:
            self._everywhere(f"DROP c{self._columns}")
            self._columns -= 1

    def _rename_label(self) -> None:
        self._labels += 1
        renamed = "DO $$ BEGIN EXECUTE format('ALTER TYPE h.mood RENAME VALUE %L TO %L', (enum_range(NULL::h.mood))[1],"
        self._do(self._admin, f"{renamed} 'label {self._labels}'); END $$")

    def _add_label(self) -> None:
        self._labels += 1
        self._do(self._admin, f"ALTER TYPE h.mood ADD VALUE 'label {self._labels}'")

    def _add_attribute(self) -> None:
        self._labels += 1
        self._locking(f"ALTER TYPE h.place ADD ATTRIBUTE y{self._labels} int")

    def _change_zone(self) -> None:
        self.table = replace(self.table, timezone=self.random.choice(ZONES))
        self.log.append(f"the entry says {self.table.timezone}")

    def _swap(self) -> None:
        """The detached partition takes the place of February's."""
        self._locking(
            f"BEGIN; ALTER TABLE h.t DETACH PARTITION h.{self._inside}; ALTER TABLE h.t ATTACH PARTITION"
            f" h.{self._outside} FOR VALUES FROM ('2024-02-01') TO ('2024-03-01'); COMMIT"
        )
        self._inside, self._outside = self._outside, self._inside

    def _detached(self, change: str) -> None:
        """Change February's partition while it is detached, and attach it again."""
        name = f"h.{self._inside}"
        self._locking(
            f"BEGIN; ALTER TABLE h.t DETACH PARTITION {name}; {change.replace('?', name)}; ALTER TABLE h.t ATTACH"
            f" PARTITION {name} FOR VALUES FROM ('2024-02-01') TO ('2024-03-01'); COMMIT"
        )

    def _swap_columns(self) -> None:
        self._detached(
            "ALTER TABLE ? ALTER other TYPE text; ALTER TABLE ? RENAME note TO n; ALTER TABLE ? RENAME other TO note;"
            " ALTER TABLE ? RENAME n TO other; ALTER TABLE ? ALTER other TYPE varchar; ALTER TABLE h.t ALTER other TYPE"
            f" varchar; ALTER TABLE h.{self._outside} ALTER other TYPE varchar"
        )

    def _add_again(self) -> None:
        self._detached(f"ALTER TABLE ? DROP note; ALTER TABLE ? ADD note text DEFAULT 'again {self._next_id}'")

    def _inherit(self) -> None:
        """The child leaves the table, or comes back."""
        self._locking(
            "DO $$ BEGIN IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'h.a'::regclass)"
            " THEN ALTER TABLE h.a NO INHERIT h.t; ELSE ALTER TABLE h.a INHERIT h.t; END IF;"
            " EXCEPTION WHEN datatype_mismatch OR undefined_column THEN NULL; END $$"
        )
        self._do(self._admin, self._rows_for(self._writers[0], "h.a", MONTHS[2]))
