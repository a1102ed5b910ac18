"""Deleting from staging what an execution leaves there, and what a killed one has left."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DataLakeError

if TYPE_CHECKING:
    from spark_scripts.lake.bucket import Lake


@contextmanager
def staging_deleted(lake: Lake, execution: str, tables: Collection[str]) -> Iterator[None]:
    """Delete at the end what the execution has staged, and at the beginning what others have staged of `tables`.

    The execution holds the locks of `tables`, and ingests no others. Raises LakeError when staging cannot be deleted,
    but never in place of another error.
    """
    if not tables:
        yield
        return
    lake.delete_staging(tables)
    own = f"{layout.STAGING}{execution}/"
    try:
        yield
    except BaseException:
        try:
            lake.delete(own)
        except DataLakeError as error:
            print(error, flush=True)
        raise
    lake.delete(own)
