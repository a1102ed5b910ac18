"""What a module that asks the catalog needs of a connection."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol


class Queries(Protocol):
    """An open transaction that answers queries over the catalog, as `Connection` does."""

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        """The result of a query, each row by column name; `?` stands for a text parameter. Raises SourceError."""

    def letting_go(self) -> AbstractContextManager[None]:
        """At the end, let go of the locks that queries took meanwhile, and of a failed query."""


class Planner(Protocol):
    """An open transaction that explains queries over the user's relations, as `Connection` does."""

    def plan(self, query: str) -> dict[str, Any]:
        """The topmost node of the planner's plan for `query`. Raises SourceError."""
