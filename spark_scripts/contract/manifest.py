"""The manifest of a month: the one record of what was ingested.

Dagster's metadata, its checks and its sensor all read it, whoever started the execution. Writing the manifest at
`layout.current_manifest_key` commits the month; files that it does not list are leftovers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Optional

from spark_scripts.contract.documents import read_document
from spark_scripts.contract.months import Partition
from spark_scripts.contract.source_state import SourceState

VERSION = 1
"""A field that may be missing needs no other version: manifests of older releases stay readable."""


@dataclass(frozen=True)
class Column:
    """A column: name, PostgreSQL type as `format_type` writes it, and the comment of the database.

    `treatment` says in words what was done to the values, such as "masked: last 4"; None where they are whole. They are
    text then, and `source_type` is the type in the source.
    """

    name: str
    type: str
    comment: Optional[str] = None
    treatment: Optional[str] = None
    source_type: Optional[str] = None


@dataclass(frozen=True)
class File:
    """A published object: its key in the bucket and its size."""

    key: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """One month of one table, as an execution committed it.

    `month` is the partition's key: `2024-02`, or `undated` for the rows without a month. `rows` is what was written,
    `source_rows` what the source counted in the same snapshot, `undated_rows` the table's rows without a month.
    `min_date` and `max_date` are PostgreSQL's text of the date column's extremes within the month. `snapshot` is
    the id of the exported PostgreSQL snapshot; None where the server refused to export one. `seconds` is the time
    from the start of reading to the commit; `started` and `finished` are ISO 8601 in UTC. `file_columns` are the
    columns of the Parquet files with Spark's types, also the columns that cleaning adds or that hold values without a
    Spark type; empty for CSV, and for a month without files. With `row_security` the rows are those that the policies
    of the table show to the job's user. `table_comment`, `table_bytes` (with indexes) and `table_rows` (PostgreSQL's
    estimate) are of the whole table in the source; None where the database has none. `source_state` is the state of the
    month in that snapshot; None where the source has none, and in manifests of releases before it. `content` is a
    digest of the rows of the files, whatever their order: equal contents have equal digests; None in manifests of
    releases before it. `left_out` names the columns of the source that stayed there.
    """

    table: str
    month: str
    execution: str
    rows: int
    source_rows: int
    undated_rows: int
    bytes: int
    files: tuple[File, ...]
    columns: tuple[Column, ...]
    format: str
    date_column: str
    min_date: Optional[str]
    max_date: Optional[str]
    snapshot: Optional[str]
    seconds: float
    started: str
    finished: str
    file_columns: tuple[Column, ...] = ()
    row_security: bool = False
    table_comment: Optional[str] = None
    table_bytes: Optional[int] = None
    table_rows: Optional[int] = None
    source_state: Optional[SourceState] = None
    content: Optional[str] = None
    left_out: tuple[str, ...] = ()

    @property
    def partition(self) -> Partition:
        """The partition that the manifest is about."""
        return Partition.of_key(self.month)

    def to_json(self) -> str:
        """The manifest as a JSON document."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest. Raises DocumentError when it is of another version or form."""
        return read_document(text, "the manifest", VERSION, cls._of_fields)

    @classmethod
    def _of_fields(cls, fields: dict[str, Any]) -> Manifest:
        files = tuple(File(**entry) for entry in fields.pop("files"))
        columns = tuple(Column(**entry) for entry in fields.pop("columns"))
        file_columns = tuple(Column(**entry) for entry in fields.pop("file_columns", ()))
        state, left_out = SourceState.of_document(fields.pop("source_state", None)), tuple(fields.pop("left_out", ()))
        return cls(
            files=files,
            columns=columns,
            file_columns=file_columns,
            source_state=state,
            left_out=left_out,
            **fields,
        )
