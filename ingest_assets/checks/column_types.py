"""Whether the Parquet files of all months of a table have the same column types.

Spark can read the folder as one table only then. A column that was retyped in the source has two types until the months
from before are ingested again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingest_assets.aws.raw_layer import RawLayer
from spark_scripts.contract.manifest import Manifest

Types = dict[str, str]


def disagreement(raw_layer: RawLayer, manifest: Manifest) -> str | None:
    """The columns whose type differs from the nearest months, and which months to ingest again; None if none differs.

    A column that only one of the months has (such as `<name>_text`) is no difference. Only the nearest month before and
    the nearest after are compared: wherever the type changes, two neighbours differ. Raises AwsError when the bucket
    cannot be read.
    """
    table, month = manifest.table, manifest.month
    here = raw_layer.current(table, month) or manifest  # a later execution may have written the month since
    labels = raw_layer.months(table)
    before, after = [label for label in reversed(labels) if label < month], [label for label in labels if label > month]
    near = [found for side in (before, after) if (found := next(_with_types(raw_layer, table, side), None))]
    retyped = sorted({name for other in near for name in _retyped(_types(here), _types(other))})
    if not retyped:
        return None
    every = {each.month: each for each in (*_with_types(raw_layer, table, labels), here)}
    latest = _latest_types(every.values())
    old = [label for label, each in sorted(every.items()) if _retyped(_types(each), latest)]
    columns = "; ".join(f"{name} is {_in_months(name, every)}" for name in retyped)
    return f"Spark cannot read the Parquet files of the months as one table: {columns}. Ingest again {', '.join(old)}."


def _types(manifest: Manifest) -> Types:
    """The type of each column of a month's Parquet files; empty for CSV, and for a month without files."""
    return {column.name: column.type for column in manifest.file_columns}


def _with_types(raw_layer: RawLayer, table: str, labels: Iterable[str]) -> Iterator[Manifest]:
    found = (raw_layer.current(table, label) for label in labels)
    return (each for each in found if each and each.file_columns)


def _retyped(some: Types, others: Types) -> list[str]:
    return [name for name in some if others.get(name, some[name]) != some[name]]


def _latest_types(manifests: Iterable[Manifest]) -> Types:
    """The type of each column in the last committed manifest that has the column."""
    latest: Types = {}
    for each in sorted(manifests, key=lambda one: one.finished):
        latest.update(_types(each))
    return latest


def _in_months(name: str, every: dict[str, Manifest]) -> str:
    months: dict[str, list[str]] = {}
    for label, each in sorted(every.items()):
        if name in _types(each):
            months.setdefault(_types(each)[name], []).append(label)
    return ", ".join(f"{kind} in {_span(labels)}" for kind, labels in months.items())


def _span(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{len(labels)} months from {labels[0]} to {labels[-1]}"
