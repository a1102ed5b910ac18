"""What an execution that a Dagster run followed has ingested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ingest_assets.metadata import IngestedMonth, Metadata
from spark_scripts.contract.refresh import Refresh


@dataclass(frozen=True)
class Ingested:
    """The months that an execution committed, in their order.

    `found` is what it found as a refresh: None if it is none, or failed before it had counted. `links` lead to its
    pages, and say what it cost if it succeeded.
    """

    months: Sequence[IngestedMonth] = ()
    found: Refresh | None = None
    links: Metadata = field(default_factory=dict)
