"""The Glue catalog's documents about a table, as pure functions of the manifests of its months."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import PARTITION_COLUMNS

Values = tuple[str, str]
"""The values of a partition's keys: year and month."""

PARTITION_KEYS = [{"Name": key, "Type": "int"} for key in PARTITION_COLUMNS]

_HEADER = "skip.header.line.count"
OWN_PARAMETERS = ("EXTERNAL", "classification", _HEADER)
"""The table's parameters that are written here; others are left as they are."""

_LONGEST_COMMENT = 255  # bytes: https://docs.aws.amazon.com/glue/latest/webapi/API_Column.html
_TYPES = {"timestamp_ntz": "timestamp"}
"""Where Glue has another name for a type than Spark."""

_STORAGE: dict[str, dict[str, Any]] = {
    "csv": {
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
            # With a quote as escapeChar, Hive and Trino take the backslash for it, and drop backslashes. NUL means
            # no escapeChar: a text of PostgreSQL never has one. Doubled quotes are read correctly in any case.
            "Parameters": {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\0"},
        },
    },
    "parquet": {
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            "Parameters": {"serialization.format": "1"},
        },
    },
}


class CatalogError(IngestionError):
    """The Glue catalog could not be updated."""


@dataclass(frozen=True)
class Definition:
    """A table, as CreateTable takes it, and its partitions by their values, as CreatePartition takes them.

    `unfit` are the months with rows whose files the table cannot read: files of another format, CSV files (which are
    read by position) with other columns, and Parquet files whose manifest does not list their columns.
    """

    table: dict[str, Any]
    partitions: dict[Values, dict[str, Any]]
    unfit: tuple[str, ...]


def define(name: str, bucket: str, manifests: Sequence[Manifest]) -> Optional[Definition]:
    """The definition of the table `name`; None when no month has rows.

    The month that was ingested last decides the format and the order of the columns. Parquet is read by name, so the
    table also has the columns that only older months have. A month without rows has no partition: it has no file, and
    each query would list its folder. Raises CatalogError when two columns have the same name for Glue.
    """
    held = sorted((one for one in manifests if one.rows and _typed(one)), key=lambda one: one.finished, reverse=True)
    if not held:
        return None
    newest = held[0]
    _check_names(newest)
    columns = {one.month: _columns(one) for one in held}
    fit = [one for one in held if one.format == newest.format and _fits(one, columns[one.month], columns[newest.month])]
    return Definition(
        _table(name, bucket, newest.format, _united(columns[one.month] for one in fit)),
        {one.partition.glue_values: _partition(name, bucket, one, columns[one.month]) for one in fit},
        tuple(sorted(one.month for one in manifests if one.rows and one not in fit)),
    )


def location(name: str, bucket: str) -> str:
    """The address of the folder of the table `name`."""
    return f"s3://{bucket}/{layout.table_prefix(name)}"


def _fits(manifest: Manifest, columns: Sequence[dict[str, str]], newest: Sequence[dict[str, str]]) -> bool:
    """Whether a table that begins with the columns `newest` reads the month's files; a CSV may lack the last ones."""
    names = [column["Name"] for column in columns]
    if manifest.format == "csv":
        return names == [column["Name"] for column in newest][: len(names)]
    return not _clashing(names)


def _united(months: Iterable[Sequence[dict[str, str]]]) -> list[dict[str, str]]:
    """The columns of all months by name, the first month's first."""
    united: dict[str, dict[str, str]] = {}
    for columns in months:
        for column in columns:
            united.setdefault(column["Name"], column)
    return list(united.values())


def _typed(manifest: Manifest) -> list[tuple[str, str]]:
    """Name and Glue's type of each column of the month's files."""
    if manifest.format == "csv":
        return [(column.name, "string") for column in manifest.columns]
    return [(column.name, _TYPES.get(column.type, column.type)) for column in manifest.file_columns]


def _clashing(names: Sequence[str]) -> list[str]:
    """The names that, without regard to case, are equal to another name or to a partition key."""
    taken = Counter([*PARTITION_COLUMNS, *(name.lower() for name in names)])
    return [name for name in names if taken[name.lower()] > 1]


def _check_names(manifest: Manifest) -> None:
    clashing = _clashing([name for name, _ in _typed(manifest)])
    if clashing:
        raise CatalogError(
            f"Glue cannot tell the columns {', '.join(clashing)} apart, because it ignores case and has the partition"
            f" keys {' and '.join(PARTITION_COLUMNS)} too: rename them in a view, and ingest the view"
        )


def _columns(manifest: Manifest) -> list[dict[str, str]]:
    """The columns of the month's files as Glue has them, in lower case."""
    comments = {column.name: column.comment for column in manifest.columns}
    return [_column(name, type_, comments.get(name)) for name, type_ in _typed(manifest)]


def _column(name: str, type_: str, comment: Optional[str]) -> dict[str, str]:
    column = {"Name": name.lower(), "Type": type_}
    if comment:  # Glue takes one line
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in comment).split())
        column["Comment"] = line.encode()[:_LONGEST_COMMENT].decode(errors="ignore")
    return column


def _table(name: str, bucket: str, format_: str, columns: Sequence[dict[str, str]]) -> dict[str, Any]:
    return {
        "Name": name.lower(),
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": PARTITION_KEYS,
        "StorageDescriptor": _storage(location(name, bucket), format_, columns),
        "Parameters": {"EXTERNAL": "TRUE", "classification": format_, **_reading(format_)},
    }


def _partition(name: str, bucket: str, manifest: Manifest, columns: Sequence[dict[str, str]]) -> dict[str, Any]:
    folder = f"s3://{bucket}/{layout.partition_prefix(name, manifest.partition)}"
    return {
        "Values": list(manifest.partition.glue_values),
        "StorageDescriptor": _storage(folder, manifest.format, columns),
        "Parameters": _reading(manifest.format),
    }


def _storage(location: str, format_: str, columns: Sequence[dict[str, str]]) -> dict[str, Any]:
    return {"Columns": list(columns), "Location": location, **_STORAGE[format_]}


def _reading(format_: str) -> dict[str, str]:
    return {_HEADER: "1"} if format_ == "csv" else {}
