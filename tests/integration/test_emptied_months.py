"""When a month of the raw layer may become empty, and when it must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.tables import Table
from tests.integration.published import Run, manifest, objects
from tests.integration.records import FEBRUARY, JANUARY, NAUGHTY


def test_a_month_that_has_become_empty_is_a_manifest_without_files(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records, months=[FEBRUARY])
    source.execute("DELETE FROM job.records WHERE at > '2024-02-01' OR at IS NULL")
    run("second", records, months=[FEBRUARY])
    found = manifest(bucket, records, FEBRUARY)
    assert (found.rows, found.files, objects(bucket, records, FEBRUARY)) == (0, (), {})


@pytest.mark.parametrize("months", [None, [FEBRUARY]])
def test_a_table_that_reads_as_empty_empties_no_month_unless_its_entry_allows_it(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any], months: list[Month] | None
) -> None:
    run("first", records, months=months)
    before = objects(bucket, records, FEBRUARY)
    source.execute("DELETE FROM job.records")
    with pytest.raises(
        IngestionError, match=r"job\.records has no rows at all.* 2024-02 \(16 rows\).*allow_empty: true"
    ):
        run("second", records, months=months)
    assert objects(bucket, records, FEBRUARY) == before
    assert manifest(bucket, records, UNDATED).rows == 2
    run("third", replace(records, allow_empty=True), months=months)
    assert (manifest(bucket, records, FEBRUARY).rows, objects(bucket, records, FEBRUARY)) == (0, {})


def test_a_table_that_never_had_rows_may_be_empty(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    source.execute("CREATE TABLE job.unused (at date)")
    unused = Table("unused", "job.unused", "at", "2024-01")
    for execution in ("first", "second"):
        run(execution, unused, months=[JANUARY])
        assert manifest(bucket, unused, JANUARY).execution == execution


def test_a_full_ingest_empties_a_month_that_the_source_no_longer_has(
    run: Run, records: Table, bucket: Path, source: psycopg.Connection[Any]
) -> None:
    run("first", records)
    source.execute("DELETE FROM job.records WHERE at > '2024-02-01'")
    run("second", records)
    found = manifest(bucket, records, FEBRUARY)
    assert (found.execution, found.rows, objects(bucket, records, FEBRUARY)) == ("second", 0, {})
    assert manifest(bucket, records, JANUARY).rows == len(NAUGHTY)
