"""The tables that are read, built once and kept in the bench's own database."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psycopg

DATE_COLUMN = "start_date_time"
KEY, CURSOR = "id", "updated_at"
MONTHS = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]
MONTH = "2024-02"
TRAILING = MONTHS[-11:]
"""The newest months, with ten before the last: what each tick of the schedule ingested before there were refreshes."""
BLOCK = 8192
IN_TRAILING = f"{DATE_COLUMN} >= '{TRAILING[0]}-01'"
IN_MONTH = f"{DATE_COLUMN} >= '2024-02-01' AND {DATE_COLUMN} < '2024-03-01'"

_DEFINITION = Path(__file__).with_name("dataset.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Facts:
    """What the table holds: rows of all months, MONTH and TRAILING, bytes as CSV of its own COPY, blocks of 8 KiB."""

    rows: int
    month_rows: int
    trailing_rows: int
    csv_bytes: int
    blocks: int


@dataclass(frozen=True)
class Dataset:
    """A table of `rows` rows, in the order of their time or in none.

    One that is `tracked` has the column CURSOR too, with an index, for tools that look for newer rows by it.
    """

    rows: int
    shuffled: bool = False
    tracked: bool = False

    @property
    def name(self) -> str:
        """The table's name, and that of its folder in the raw layer."""
        return f"bench_{self.rows}{'_shuffled' if self.shuffled else ''}{'_tracked' if self.tracked else ''}"

    @property
    def relation(self) -> str:
        """The table as SQL names it."""
        return f"public.{self.name}"

    def ensure(self, connection: psycopg.Connection[Any], say: Callable[[str], None]) -> Facts:
        """Build the table unless it is there as dataset.sql defines it, and tell what it holds."""
        digest = hashlib.sha256(f"{_DEFINITION} {[field.name for field in fields(Facts)]}".encode()).hexdigest()[:16]
        row = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [self.relation]).fetchone()
        known = json.loads(row[0]) if row and row[0] else {}
        if known.get("definition") == digest:
            return Facts(**known["facts"])
        if self.shuffled or self.tracked:
            Dataset(self.rows).ensure(connection, say)
        started = time.monotonic()
        with connection.transaction():  # one, so that PostgreSQL writes no log of it, and no half of it stays
            connection.execute(f"DROP TABLE IF EXISTS {self.relation}")
            self._fill(connection)
        connection.execute(f"VACUUM (ANALYZE) {self.relation}")
        facts = self._measure(connection)
        comment = json.dumps({"definition": digest, "facts": asdict(facts)})
        connection.execute(f"COMMENT ON TABLE {self.relation} IS '{comment}'")
        say(f"built {self.relation}: {facts} ({time.monotonic() - started:.0f} s)")
        return facts

    def _fill(self, connection: psycopg.Connection[Any]) -> None:
        if not self.shuffled and not self.tracked:
            connection.execute(_DEFINITION.format(table=self.relation, rows=self.rows))
        else:
            connection.execute(f"CREATE TABLE {self.relation} (LIKE {Dataset(self.rows).relation})")
            if self.tracked:
                connection.execute(f"ALTER TABLE {self.relation} ADD COLUMN {CURSOR} timestamptz NOT NULL")
            connection.execute(f"INSERT INTO {self.relation} {self.original_rows}")
        connection.execute(f"ALTER TABLE {self.relation} ADD PRIMARY KEY ({KEY})")
        if self.tracked:
            connection.execute(f"CREATE INDEX ON {self.relation} ({CURSOR})")

    @property
    def original_rows(self) -> str:
        """The query for its rows from the table in order of time: nothing was written again after its creation."""
        columns, order = (
            (f"*, created_at AS {CURSOR}" if self.tracked else "*"),
            (" ORDER BY session_id" if self.shuffled else ""),
        )
        return f"SELECT {columns} FROM {Dataset(self.rows).relation}{order}"

    def _measure(self, connection: psycopg.Connection[Any]) -> Facts:
        query = (
            f"SELECT count(*), count(*) FILTER (WHERE {IN_MONTH}), count(*) FILTER (WHERE {IN_TRAILING}),"
            f" pg_table_size('{self.relation}') / {BLOCK} FROM {self.relation}"
        )
        row = connection.execute(query).fetchone()
        assert row is not None
        with connection.cursor().copy(f"COPY {self.relation} TO STDOUT (FORMAT csv, HEADER)") as chunks:
            size = sum(len(chunk) for chunk in chunks)
        return Facts(rows=row[0], month_rows=row[1], trailing_rows=row[2], csv_bytes=size, blocks=row[3])
