"""Whether somebody has looked at each column that looks like personal data, by its name.

The entry in tables.yaml says so when it names the column, in `columns` or in `only`. A month that was ingested before
the entry asked for hashes or masks still holds the plain values, which only another ingestion changes.
"""

from __future__ import annotations

from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.personal_data import CREDENTIAL, kind_of


def to_review(table: TableSpec | None, manifest: Manifest) -> dict[str, str]:
    """The columns that arrived as they are, look like personal data, and that the entry does not name: their kinds."""
    if table and table.only is not None:
        return {}
    named = table.columns if table else {}
    return {name: kind for name in _whole(manifest) if name not in named and (kind := kind_of(name))}


def still_plain(table: TableSpec | None, manifest: Manifest) -> list[str]:
    """The columns that the entry hides, and that the month holds as they are."""
    if table is None:
        return []
    hidden = {name for name, spec in table.columns.items() if spec.hides}
    return [name for name in _whole(manifest) if name in hidden or (table.only is not None and name not in table.only)]


def explained(manifest: Manifest, kinds: dict[str, str], plain: list[str]) -> str:
    """What to do about the two, with lines for tables.yaml."""
    texts = []
    if kinds:
        found = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        lines = "\n".join(f"    {name}: {_proposed(kind)}" for name, kind in kinds.items())
        texts.append(
            f"These columns look like personal data, and the entry of {manifest.table} in tables.yaml does not name"
            f" them: {found}. Write there what is to happen to each, such as\n  columns:\n{lines}\nor {{keep: true}},"
            " where everybody who reads the lake may see the values."
        )
    if plain:
        texts.append(
            f"The month was ingested before tables.yaml hid {', '.join(plain)}, and holds the plain values: ingest it"
            " again."
        )
    return " ".join(texts)


def _whole(manifest: Manifest) -> list[str]:
    return [column.name for column in manifest.columns if column.treatment is None]


def _proposed(kind: str) -> str:
    return "{drop: true}" if kind == CREDENTIAL else "{hash: true}"
