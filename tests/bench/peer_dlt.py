"""dlt from PostgreSQL into files. Runs on the bench's own environment.

Arguments: table, target, backend, file format. The database is what the variable PGDSN says.
"""

import os
import sys

import dlt  # type: ignore[import-not-found, unused-ignore]
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found, unused-ignore]


def main(table: str, target: str, backend: str, file_format: str) -> None:
    """Load the table."""
    schema, name = table.split(".")
    resource = sql_table(
        os.environ["PGDSN"].replace("postgresql:", "postgresql+psycopg2:", 1),
        table=name,
        schema=schema,
        backend=backend,
        chunk_size=100_000,
        backend_kwargs={"return_type": "arrow_stream", "batch_size": 100_000} if backend == "connectorx" else None,
        reflection_level="full_with_precision",
    )
    pipeline = dlt.pipeline("bench", destination=dlt.destinations.filesystem(target), dataset_name="bench")
    pipeline.run(resource, loader_file_format=file_format, write_disposition="replace")


if __name__ == "__main__":
    main(*sys.argv[1:])
