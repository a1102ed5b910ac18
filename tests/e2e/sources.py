"""Tables that fail or take as long as a test wants, in the source database, and their entries of tables.yaml."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.gates import GATE

TABLES = """
- {table: e2e.sales, date_column: sold_at, first_month: 2024-01, summary: true, description: Nothing is wrong with it.}
- {table: e2e.prices, date_column: sold_at, first_month: 2024-01, description: Fails where a quantity is 0.}
- {table: e2e.stock, date_column: sold_at, first_month: 2024-01, description: Is refreshed.}
- {table: e2e.gated, date_column: sold_at, first_month: 2024-01, lock_timeout: 600, description: Waits at a gate.}
"""


def create(source: psycopg.Connection[Any]) -> None:
    """Sales in each month of the first half of 2024, two views of them, and a copy of three months.

    One in March has the quantity 0.

    STABLE lets the planner leave the gate out where the column is not asked for: the counts do not wait.
    """
    source.execute(
        f"""
        CREATE SCHEMA e2e;
        CREATE TABLE e2e.sales (id int PRIMARY KEY, sold_at timestamp, total int, quantity int);
        INSERT INTO e2e.sales SELECT n, '2024-01-10'::timestamp + n % 6 * interval '1 month', n, 1 + n % 9
            FROM generate_series(1, 600) n;
        UPDATE e2e.sales SET quantity = 0 WHERE id = 302;
        CREATE TABLE e2e.stock AS SELECT id, sold_at FROM e2e.sales WHERE sold_at < '2024-04-01';
        CREATE VIEW e2e.prices AS SELECT id, sold_at, total / quantity AS price FROM e2e.sales;
        CREATE FUNCTION e2e.gate() RETURNS text STABLE LANGUAGE plpgsql AS
            $$BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN 'passed'; END$$;
        CREATE VIEW e2e.gated AS SELECT id, sold_at, e2e.gate() AS gate FROM e2e.sales;
        """.encode()
    )


def mend(source: psycopg.Connection[Any]) -> None:
    """Nothing fails any more."""
    source.execute("UPDATE e2e.sales SET quantity = 1 WHERE quantity = 0")


def waits(source: psycopg.Connection[Any], execution: str) -> bool:
    """Whether a reader of the execution waits at the gate."""
    query = "SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'advisory'"
    return bool(source.execute(query, [execution]).fetchall())
