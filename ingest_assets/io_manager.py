"""Months of the raw layer as inputs of assets downstream."""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

from typing import Any, NoReturn

import dagster as dg

from ingest_assets.asset_keys import RAW_LAYER, raw_layer_key
from ingest_assets.read import Rows, partitions
from ingest_assets.resources.raw_layer import RawLayerResource
from spark_scripts.contract.errors import DataLakeError

READER = "raw_layer_reader"
"""The key of the resource."""

_METHODS = {"pandas.DataFrame": "pandas", "polars.DataFrame": "polars", "pyarrow.Table": "arrow"}
_METHODS |= {"duckdb.DuckDBPyRelation": "duckdb"}


def raw_layer_input(table: str) -> dg.AssetIn:
    """The input of an asset that takes the months of a table, by the name of the table in tables.yaml.

    The type of the function's argument decides what it gets: `pandas.DataFrame`, `polars.DataFrame`, `pyarrow.Table`,
    `duckdb.DuckDBPyRelation`, or `ingest_assets.read.Rows`, which reads when it is asked to.
    """
    return dg.AssetIn(key=raw_layer_key(table), input_manager_key=READER)


class RawLayerIOManager(dg.ConfigurableIOManager):
    """Reads the months that the partitions of an input are mapped to, one after the other."""

    raw_layer: dg.ResourceDependency[RawLayerResource]

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows in the type of the argument. Raises dg.Failure with one line where they cannot be read."""
        method = _method(context)
        try:
            rows = partitions(_table(context), _months(context), raw_layer=self.raw_layer)
            return rows if method is None else getattr(rows, method)()
        except DataLakeError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    def handle_output(self, context: dg.OutputContext, obj: Any) -> NoReturn:  # noqa: ARG002  (Dagster's signature)
        """Refuse: the Spark job writes the raw layer."""
        raise dg.Failure(
            f"{READER} reads the raw layer and writes nothing, because the raw layer's assets are written by their"
            f" executions: give {context.name} another io_manager_key",
            allow_retries=False,
        )


def _table(context: dg.InputContext) -> str:
    path = context.asset_key.path
    if len(path) != 2 or path[0] != RAW_LAYER:
        raise DataLakeError(
            f"{context.asset_key.to_user_string()} is no raw layer: use {READER} for {RAW_LAYER}/… only"
        )
    return path[1]


def _months(context: dg.InputContext) -> list[str]:
    if not context.has_asset_partitions:
        raise DataLakeError(
            f"{context.asset_key.to_user_string()} has months: give the asset that takes it partitions, or a partition"
            " mapping"
        )
    return list(context.asset_partition_keys)


def _method(context: dg.InputContext) -> str | None:
    """The method of Rows that makes the type of the argument; None for Rows themselves."""
    wanted = context.dagster_type.typing_type
    if wanted is Rows:
        return None
    name = f"{getattr(wanted, '__module__', '').split('.')[0]}.{getattr(wanted, '__name__', '')}"
    if name not in _METHODS:
        raise dg.Failure(
            f"the input {context.name} must say what it takes: annotate it with one of {', '.join(_METHODS)}, or"
            f" {Rows.__module__}.{Rows.__name__}",
            allow_retries=False,
        )
    return _METHODS[name]
