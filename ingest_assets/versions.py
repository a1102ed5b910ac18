"""The versions with which Dagster finds out what changed: of a month's data, and of the entry that it was made by.

Two materialisations of a month have the same data version exactly when its rows, its columns and the keys of the entry
that decide bytes are the same. So a condition such as `AutomationCondition.data_version_changed()` leaves the assets
downstream alone when a month is ingested again as it was. Dagster by itself gives a new version to each
materialisation, and the same one to all months of a run.
"""

from __future__ import annotations

import hashlib
import json

from ingest_assets._compat import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from ingest_assets.asset_keys import source_key
from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Manifest

_CODE_DIGITS = 12


def code_version(table: TableSpec) -> str:
    """A name for the keys of the entry that decide the bytes of a month: Dagster shows when an entry has changed."""
    return _digest(table.to_table().deciding_bytes())[:_CODE_DIGITS]


def data_version(manifest: Manifest, table: TableSpec) -> str:
    """The version of a month. Without a digest of its content each execution makes a new one."""
    if manifest.content is None:
        return _digest(["execution", manifest.execution])
    columns = [[column.name, column.type] for column in (*manifest.columns, *manifest.file_columns)]
    return _digest([manifest.content, columns, table.to_table().deciding_bytes()])


def version_tags(manifest: Manifest, table: TableSpec) -> dict[str, str]:
    """The tags of a materialisation that Dagster's own step would have written, with the month's data version.

    With a code version Dagster expects the versions of the inputs as well. The table in PostgreSQL has none: its
    observations carry no data version, for which Dagster takes DEFAULT_DATA_VERSION.
    """
    source = source_key(table)
    return {
        DATA_VERSION_TAG: data_version(manifest, table),
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
        CODE_VERSION_TAG: code_version(table),
        get_input_data_version_tag(source): DEFAULT_DATA_VERSION.value,
        get_input_event_pointer_tag(source): NULL_EVENT_POINTER,
    }


def _digest(fact: object) -> str:
    """A name that is equal for equal facts alone."""
    return hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()
