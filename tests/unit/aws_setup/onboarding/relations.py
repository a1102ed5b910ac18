"""Relations as the catalog would show them."""

from __future__ import annotations

from typing import Any

from aws_setup.onboarding.dates import Candidate
from aws_setup.onboarding.relations import Column, Found, Statistics
from aws_setup.onboarding.samples import Sample, Texts
from aws_setup.onboarding.study import Study
from spark_scripts.contract.months import Month
from spark_scripts.postgres.projections import SourceColumn

TIMESTAMP = "timestamp without time zone"


def relation(name: str = "orders", schema: str = "public", **changes: Any) -> Found:
    facts: dict[str, Any] = {
        "oid": "1",
        "schema": schema,
        "name": name,
        "quoted_schema": schema,
        "quoted": f"{schema}.{name}",
        "kind": "r",
        "usable": True,
        "readable": True,
        "hides_rows": False,
        "children": 0,
        "partition_key": None,
        "parent": None,
    }
    return Found(**{**facts, **changes})


def column(name: str, base_type: str = TIMESTAMP, **changes: Any) -> Column:
    facts: dict[str, Any] = {"filled": False, "textual": base_type == "text", "indexed": False, "statistics": None}
    return Column(SourceColumn(name, base_type, base_type), **{**facts, **changes})


def study(*, rows: int = 5_000_000, blocks: int = 100_000, months: int = 100, **changes: Any) -> Study:
    """A table of 100 months in the order of time, without an index on its date."""
    date = changes.pop("date", column("created_at", statistics=Statistics(0.0, 0.99, ())))
    first, last = Month(2016, 1), Month(2016, 1).plus(months - 1)
    best = Candidate(date, 0.0, first, first, last, "statistics", 50.0, ("says when the row was made",))
    facts: dict[str, Any] = {"relation": relation(), "columns": [date], "sample": None, "notes": ()}
    return Study(candidates=[best], rows=rows, size=blocks * 8192, blocks=blocks, **{**facts, **changes})


def sample(texts: dict[str, Texts]) -> Sample:
    return Sample(1000, False, {}, texts)
