"""Compare a table with what a tool made of it, row by row. Runs on the bench's own environment, with DuckDB.

Arguments: table, and target: `file.duckdb:table`, or `-` for CSV files whose paths are the lines of standard input. The
database is what the variable PGDSN says. Prints how many rows are missing in the target, have other values, are there
although the database has no such row, or are there twice.
"""

import json
import sys

import duckdb  # type: ignore[import-not-found, unused-ignore]
from peer_duckdb import attached  # type: ignore[import-not-found, unused-ignore]

_COLUMNS = {"id": "bigint", "start_date_time": "timestamp", "attempts": "smallint", "fee": "decimal(10, 2)"}
"""The key, and the columns that the change of the table touches."""

_OTHERS = [column for column in _COLUMNS if column != "id"]

_DIFFERENCES = f"""
WITH source AS (SELECT {{columns}} FROM {{table}}),
     made AS (SELECT {{columns}} FROM {{target}}),
     target AS (SELECT id, count(*) AS number, {", ".join(f"first({name}) AS {name}" for name in _OTHERS)}
                FROM made GROUP BY id)
SELECT count(*) FILTER (WHERE target.id IS NULL) AS missing,
       count(*) FILTER (WHERE source.id = target.id AND ({{differ}})) AS stale,
       count(*) FILTER (WHERE source.id IS NULL) AS extra,
       coalesce(sum(target.number - 1), 0)::bigint AS twice
FROM source FULL JOIN target ON source.id = target.id
"""


def main(table: str, target: str) -> None:
    """Print the numbers as JSON."""
    connection = attached(duckdb.connect())
    file, _, name = target.partition(":")
    if name:
        connection.execute(f"ATTACH '{file}' AS file (READ_ONLY)")
    query = _DIFFERENCES.format(
        table=f"source.{table}",
        target=f"file.{name}" if name else _csv(sys.stdin.read().splitlines()),
        columns=", ".join(f"{column}::{kind} AS {column}" for column, kind in _COLUMNS.items()),
        differ=" OR ".join(f"source.{column} IS DISTINCT FROM target.{column}" for column in _OTHERS),
    )
    [row] = connection.execute(query).fetchall()
    print(json.dumps(dict(zip(("missing", "stale", "extra", "twice"), row, strict=True))))


def _csv(files: list[str]) -> str:
    """The files of the raw layer, by the settings that its README gives for DuckDB."""
    settings = "header=true, all_varchar=true, allow_quoted_nulls=false, hive_partitioning=false"
    return f"read_csv({files!r}, {settings})"


if __name__ == "__main__":
    main(*sys.argv[1:])
