"""A gate in the source database: whoever reads a view with it waits while a test keeps it closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

GATE = 4711
"""The advisory lock for which the views' functions ask."""


@contextmanager
def closed_gate(source: psycopg.Connection[Any]) -> Iterator[None]:
    """Readers of a view with a gate wait, having read some of its rows or none, until the end."""
    close(source)
    try:
        yield
    finally:
        open_(source)


def close(source: psycopg.Connection[Any]) -> None:
    """Let readers wait."""
    source.execute("SELECT pg_advisory_lock(%s)", [GATE])


def open_(source: psycopg.Connection[Any]) -> None:
    """Let the readers that wait go on."""
    source.execute("SELECT pg_advisory_unlock(%s)", [GATE])
