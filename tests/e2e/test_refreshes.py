"""What Dagster's pages show of a table that is refreshed: unchanged months as they were, and no check as skipped."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.graphql import Run, Webserver
from tests.e2e.test_dagster_dev import PASSED, each, passed_in_lineage, recorded, shown
from tests.e2e.waiting import until

pytestmark = pytest.mark.timeout(600)

MONTHS = ("2024-01", "2024-02", "2024-03")
GREEN = dict.fromkeys(MONTHS, "MATERIALIZED")


@pytest.fixture(scope="module")
def ingested(dagster: Webserver) -> str:
    """The run that has ingested every month of the table."""
    run_id = dagster.materialize("stock", MONTHS[0], MONTHS[-1])
    assert dagster.ended(run_id).status == "SUCCESS"
    return run_id


def all_is_green(dagster: Webserver) -> bool:
    return (
        dagster.months("stock") == GREEN
        and shown(dagster, "stock") == each({"Passed": 3})
        and passed_in_lineage(dagster, "stock") == {*PASSED}
    )


@pytest.fixture(scope="module")
def refreshed(dagster: Webserver, ingested: str, source: psycopg.Connection[object]) -> Run:
    """The run that has refreshed the table after one month had changed."""
    assert dagster.lineage("stock")["up_to_date"] == "WARN"  # no refresh has looked at the table
    source.execute("UPDATE e2e.stock SET id = id WHERE sold_at = '2024-02-10'")
    run = dagster.ended(dagster.launch("refresh_stock"))
    assert run.status == "SUCCESS"
    return run


def test_a_refresh_materialises_the_changed_month_and_shows_the_others_as_they_were(
    dagster: Webserver, ingested: str, refreshed: Run
) -> None:
    run = refreshed
    by_run = [(month, run_id) for month, run_id, _ in recorded(dagster, "stock", *MONTHS)]
    assert by_run == [(month, ingested) for month in MONTHS[:2]] + [("2024-02", run.id), ("2024-03", ingested)]
    assert all_is_green(dagster)
    assert dagster.lineage("stock")["up_to_date"] == "SUCCEEDED"
    assert "stock: 1 of 3 months changed\n2024-02: newer rows among 100 rows" in dagster.log(run.id)


def test_the_pages_of_the_asset_and_its_check_say_what_has_changed_and_how_long_ago_that_was(
    page: Page, refreshed: Run, picture: Callable[[str], None]
) -> None:
    body = page.locator("body")
    page.goto("/assets/raw_layer/stock?view=checks&checkDetail=up_to_date")
    expect(body).to_contain_text("All 3 months are as in the source, as of ")
    page.goto("/assets/raw_layer/stock?view=events")
    expect(body).to_contain_text(f"Observed in run {refreshed.id[:8]}")
    expect(body).to_contain_text("1 of 3 months changed")
    expect(body).to_contain_text("2024-01, 2024-03")
    picture("refresh")


def test_a_refresh_of_months_that_a_user_chose_is_one_run_and_leaves_them_green(
    dagster: Webserver, refreshed: Run
) -> None:
    before = recorded(dagster, "stock", *MONTHS)
    backfill = dagster.backfill_of_job("refresh_stock", "stock", *MONTHS[:2])
    until(lambda: dagster.runs(backfill=backfill) and dagster.runs(backfill=backfill)[0].finished, 240)
    [run] = dagster.runs(backfill=backfill)
    assert (run.status, run.months) == ("SUCCESS", MONTHS[:2])
    assert "Looking at 2 months of stock, to ingest those that have changed" in dagster.log(run.id)
    assert recorded(dagster, "stock", *MONTHS) == before
    assert all_is_green(dagster)
