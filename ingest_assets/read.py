"""Reads the raw layer: a month or a range of months of a table, for notebooks and programs.

    from ingest_assets.read import month

    month("mockrecord", "2024-02").pandas()     # or .polars(), .duckdb(), .arrow()

What is read is what the manifests list: whole months, also while they are ingested again. The columns have the types of
PostgreSQL for CSV as well, and NULL is not the empty text; docs/reading.md has the table of types. The AWS SDK's usual
variables lead to the account, the stack's outputs to the bucket.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa

from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.raw_layer import RawLayer, RawLayerOfBucket
from ingest_assets.aws.stack import StackOutputs, stack_name
from ingest_assets.reading.files import ReplacedError, read_manifest
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.tables import tables_from_json
from spark_scripts.contract.wording import spans

if TYPE_CHECKING:
    import duckdb
    import pandas  # type: ignore[import-untyped]
    import polars

_ATTEMPTS = 5  # an ingest takes longer than a read, so that the second succeeds unless ingests follow each other


class ReadError(DataLakeError):
    """What was asked for cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Rows:
    """The rows of partitions of a table. Each method reads them anew.

    Every method raises ReadError when the table or a month is unknown, when the columns of the months do not go
    together, or when a library is missing; AwsError and StackError when the bucket cannot be read.
    """

    table: str
    _partitions: Callable[[RawLayer], list[Partition]]
    _raw_layer: RawLayer | None = None

    def arrow(self) -> pa.Table:
        """An Arrow table. A column that only some of the months have is NULL in the others."""
        raw_layer = self._raw_layer or raw_layer_of_environment()
        found = {partition: _read(raw_layer, self.table, partition) for partition in self._partitions(raw_layer)}
        return _joined(self.table, found)

    def pandas(self) -> pandas.DataFrame:
        """A DataFrame of pandas whose columns are Arrow's (`ArrowDtype`): a NULL makes no float of an integer."""
        library = _library("pandas")
        return self.arrow().to_pandas(types_mapper=library.ArrowDtype)

    def polars(self) -> polars.DataFrame:
        """A DataFrame of polars."""
        frame: polars.DataFrame = _library("polars").from_arrow(self.arrow())
        return frame

    def duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """A relation of the connection, by default of the one that `duckdb.sql` uses."""
        relation: duckdb.DuckDBPyRelation = (connection or _library("duckdb")).from_arrow(self.arrow())
        return relation


def month(table: str, month: str, *, raw_layer: RawLayer | None = None) -> Rows:
    """A month of the table that has this name in tables.yaml, as in `2024-02`; `undated` for the rows without a month.

    Raises InvalidInputError for another text. Other errors come when the rows are read.
    """
    return partitions(table, [month], raw_layer=raw_layer)


def months(table: str, first: str | None = None, last: str | None = None, *, raw_layer: RawLayer | None = None) -> Rows:
    """The months from `first` to `last`, both of them too. Each of these must have been ingested.

    Without `first` or `last` they are the months that have been ingested so far, up to the bound that is given. The
    rows without a month are not among them. Raises InvalidInputError for a bound that is no month.
    """
    begin, end = (Month.parse(bound) if bound is not None else None for bound in (first, last))
    if begin and end:
        return Rows(table, lambda _: _between(begin, end), raw_layer)
    return Rows(table, lambda found: _ingested(found, table, begin, end), raw_layer)


def partitions(table: str, keys: Iterable[str], *, raw_layer: RawLayer | None = None) -> Rows:
    """The months with these keys, in this order. Raises InvalidInputError for a key that is no month."""
    wanted = [_partition(key) for key in keys]
    return Rows(table, lambda _: wanted, raw_layer)


def raw_layer_of_environment() -> RawLayer:
    """The raw layer of the stack that the environment names. Raises AwsError and StackError."""
    with aws_errors("reading the stack's outputs"):
        session = boto3.session.Session()
        outputs = StackOutputs.read(session.client("cloudformation"), stack_name())
        return RawLayerOfBucket(session.client("s3"), outputs.bucket_name)


def _partition(key: str) -> Partition:
    return UNDATED if key == UNDATED.key else Month.parse(key)


def _between(first: Month, last: Month) -> list[Partition]:
    if last < first:
        raise ReadError(f"there is no month from {first} to {last}: give the earlier one first")
    found = [first]
    while found[-1] < last:
        found.append(found[-1].plus(1))
    return list(found)


def _ingested(raw_layer: RawLayer, table: str, first: Month | None, last: Month | None) -> list[Partition]:
    found = [each for each in map(Partition.of_key, raw_layer.months(table)) if isinstance(each, Month)]
    wanted = [each for each in sorted(found) if (not first or first <= each) and (not last or each <= last)]
    if not wanted:
        raise ReadError(_missing(raw_layer, table, "these months have"))
    return list(wanted)


def _read(raw_layer: RawLayer, table: str, partition: Partition) -> pa.Table:
    """The rows of the partition's current manifest, of the next one if they are replaced meanwhile."""
    manifest = None
    for _ in range(_ATTEMPTS):
        before, manifest = manifest, raw_layer.current_of(table, partition)
        if manifest is None:
            raise ReadError(_missing(raw_layer, table, f"{partition} has"))
        if manifest == before:
            break
        try:
            return read_manifest(raw_layer, manifest)
        except ReplacedError as error:
            replaced = error
    what = "ingest the month again" if manifest == before else "it was ingested again and again meanwhile: wait"
    raise ReadError(f"{table} {partition}: {replaced}: {what}") from replaced


def _missing(raw_layer: RawLayer, table: str, what: str) -> str:
    """Why there is no manifest, in one line."""
    ingested = raw_layer.months(table)
    if ingested:
        return f"{table}: {what} not been ingested. Ingested are {spans(ingested)}"
    document = raw_layer.deployed_tables()
    tables = tables_from_json(document) if document else {}
    if table in tables:
        return f"{table}: no month has been ingested"
    return f"no table is named {table!r}: use one of {', '.join(sorted(tables)) or 'tables.yaml, once it is deployed'}"


def _joined(table: str, found: dict[Partition, pa.Table]) -> pa.Table:
    """The tables one after the other. One without rows may be of other types, because Parquet has types in files."""
    filled = [each for each in found.values() if len(each)] or list(found.values())[-1:]
    try:
        return pa.concat_tables(filled, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        asked = spans(each.key for each in found)
        raise ReadError(
            f"{table} {asked}: the types of a column differ: {error}. Read the months one by one"
        ) from error


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ReadError(f"{name} is not installed: pip install {name}") from error
