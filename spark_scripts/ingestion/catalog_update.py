"""Updating the Glue catalog at the end of a table's ingestion, also when a month has failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_scripts.contract.errors import DataLakeError, IngestionError

if TYPE_CHECKING:
    from spark_scripts.ingestion.context import JobContext
    from spark_scripts.lake.current import CurrentManifests


@contextmanager
def catalog_updated(job: JobContext, table: str, current: CurrentManifests, published: Sequence[str]) -> Iterator[None]:
    """At the end, bring the catalog's `table` to the months that are committed.

    `published` are the months that were published by then. Raises IngestionError when the catalog cannot be updated,
    with the reason for which the ingestion itself failed, if it did.
    """
    try:
        yield
    except DataLakeError as error:
        problem = _problem(job, table, current, published)
        if problem:
            raise IngestionError(f"{error}; {problem}") from error
        raise
    problem = _problem(job, table, current, published)
    if problem:
        raise IngestionError(problem)


def _problem(job: JobContext, table: str, current: CurrentManifests, published: Sequence[str]) -> str:
    """Update the catalog; say why when that fails."""
    if job.catalog is None:
        return ""
    try:
        job.catalog.update(table, current.all())
    except DataLakeError as error:
        months = ", ".join(published) or "no month"
        return f"published {months}, but {error} (the table's next run updates the catalog)"
    return ""
