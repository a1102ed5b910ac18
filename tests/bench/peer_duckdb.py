"""DuckDB's postgres scanner, into CSV files by year and month. Runs on the bench's own environment.

Arguments: table, date column, target. The database is what the variable PGDSN says.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb  # type: ignore[import-not-found, unused-ignore]


def attached(connection: Any) -> Any:
    """The connection with the database as its catalog `source`; nothing is fetched."""
    package = find_spec("duckdb_extension_postgres_scanner")
    assert package is not None
    assert package.origin is not None
    [extension] = Path(package.origin).parent.glob("extensions/*/*.duckdb_extension")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{os.environ['PGDSN']}' AS source (TYPE postgres, READ_ONLY)")
    return connection


def main(table: str, date_column: str, target: str) -> None:
    """Copy the table."""
    connection = attached(duckdb.connect())
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(
        f"COPY (SELECT *, year({date_column}) AS year, month({date_column}) AS month FROM source.{table})"
        f" TO '{target}' (FORMAT csv, HEADER, PARTITION_BY (year, month), OVERWRITE_OR_IGNORE)"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
