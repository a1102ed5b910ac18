"""dlt from PostgreSQL into a DuckDB file, only the rows with a newer cursor. Runs on the bench's own environment.

Arguments: table, cursor column, key, target file. The database is what the variable PGDSN says. The first run loads
all rows.
"""

import os
import sys

import dlt  # type: ignore[import-not-found, unused-ignore]
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found, unused-ignore]


def main(table: str, cursor: str, key: str, target: str) -> None:
    """Load what is new, and merge it by the key."""
    schema, name = table.split(".")
    resource = sql_table(
        os.environ["PGDSN"].replace("postgresql:", "postgresql+psycopg2:", 1),
        table=name,
        schema=schema,
        backend="connectorx",
        chunk_size=100_000,
        backend_kwargs={"return_type": "arrow_stream", "batch_size": 100_000},
        reflection_level="full_with_precision",
        incremental=dlt.sources.incremental(cursor),
        primary_key=key,
        write_disposition="merge",
    )
    pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(target), dataset_name="bench")
    pipeline.run(resource, loader_file_format="parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
