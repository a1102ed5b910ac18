"""What a refresh writes down."""

from dataclasses import replace

import pytest

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DocumentError
from spark_scripts.contract.refresh import Findings, Look, Refresh

FOUND = Refresh("t", "e", False, {"2024-01": "columns", "undated": "rows 1 → 2"}, {"2024-02": "before"})


def test_the_findings_are_read_as_they_were_written() -> None:
    assert Refresh.from_json(FOUND.to_json()) == FOUND


def test_the_summary_counts_months_and_names_the_rows_without_one() -> None:
    assert FOUND.summary() == "1 of 2 months changed, and the rows without a month"
    assert replace(FOUND, changed={}).summary() == "0 of 1 month changed"
    assert replace(FOUND, skipped="another writes it").summary() == "skipped: another writes it"


def test_a_refresh_ingests_the_months_in_their_order_and_a_dry_run_none() -> None:
    changed = {"2024-03": "columns", "2024-01": "columns", "undated": "columns"}
    assert replace(FOUND, changed=changed).to_ingest() == ["2024-01", "2024-03"]
    assert replace(FOUND, changed=changed, dry_run=True).to_ingest() == []


def test_what_is_known_of_a_table_is_read_as_it_was_written() -> None:
    look = Look("2026-11-26T03:00:00Z", "e", "columns", "2026-11-25T03:00:00.000+00:00")
    known = Findings("t", {"2024-01": look, "2024-02": Look("2026-11-26T03:00:00Z", "e")})
    assert Findings.from_json(known.to_json()) == known
    with pytest.raises(DocumentError, match="what is known of the table has version 0"):
        Findings.from_json('{"version": 0}')
    with pytest.raises(DocumentError, match="what is known of the table is not of the agreed form"):
        Findings.from_json('{"version": 1, "table": "t", "looks": {"2024-01": {"when": "now"}}}')


def test_what_is_known_of_a_table_is_no_manifest() -> None:
    key = layout.findings_key("current")
    assert not key.startswith(layout.current_manifests_prefix("current"))
    assert layout.table_of_refresh("e", layout.refresh_key("e", "t")) == "t"
    assert layout.manifest_of_execution("e", layout.refresh_key("e", "t")) is None
    assert layout.table_of_refresh("e", layout.progress_key("e")) is None
