"""What Dagster's pages show of what the other tests have done."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import SENSOR, Launched
from tests.e2e.graphql import CODE_LOCATION, Backfill, Webserver
from tests.e2e.waiting import until

pytestmark = pytest.mark.timeout(600)  # the first test waits for what all have launched

Picture = Callable[[str], None]


def test_the_months_that_a_user_chose_become_green(page: Page, dagster: Webserver, clicked: list[str]) -> None:
    until(lambda: dagster.months("mockrecord") == dict.fromkeys(clicked, "MATERIALIZED"), seconds=400)
    page.goto("/assets/raw_layer/mockrecord?view=partitions")
    page.get_by_placeholder("Filter by name").fill("2023-0")
    for month in clicked:
        dot = page.locator(f'[data-tooltip="{month}"] + div')
        expect(dot).to_have_attribute("style", re.compile("--color-accent-green"))
    other = page.locator('[data-tooltip="2023-07"] + div')
    expect(other).to_have_attribute("style", re.compile("--color-accent-gray"))


def test_a_backfill_that_failed_in_part_offers_to_repeat_the_months_that_failed(
    page: Page, launched: Launched, failed: Backfill, picture: Picture
) -> None:
    page.goto(f"/runs/b/{launched.failing}")
    targeted_in_progress_succeeded_failed = re.compile(r"100% completed\s*5\s*0\s*2\s*3")
    expect(page.locator("body")).to_contain_text(targeted_in_progress_succeeded_failed)
    page.get_by_role("button").last.click()
    expect(page.get_by_role("menuitem", name="Re-execute from failure")).to_be_enabled()
    picture("backfill")


def test_the_numbers_of_the_months_are_plotted(page: Page, orders: Backfill, picture: Picture) -> None:
    page.goto("/assets/raw_layer/orders")
    plots = page.get_by_role("button", name="Plots")
    plots.click()
    for name in ("dagster/partition_row_count", "seconds", "vcpu_hours", "gb_hours", "usd"):
        expect(page.get_by_text(name, exact=True)).to_be_attached()
    plots.evaluate("button => button.scrollIntoView()")
    picture("plots")


def test_the_tick_that_recorded_executions_from_outside_says_so(
    page: Page, dagster: Webserver, launched: Launched, picture: Picture
) -> None:
    ticks = until(lambda: [tick for tick in dagster.ticks(SENSOR) if "recorded" in tick])
    page.goto(f"/locations/{CODE_LOCATION['repositoryLocationName']}/sensors/{SENSOR}")
    results = page.get_by_role("button", name="0 runs requested")
    expect(results.first).to_be_visible()
    dialog = page.get_by_role("dialog")
    for result in results.all():
        result.click()
        expect(dialog).to_contain_text("Duration")
        if ticks[0] in dialog.inner_text():
            picture("tick")
            return
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_hidden()
    raise AssertionError("no such tick")


def test_the_page_of_an_execution_that_dagster_did_not_start_opens(
    page: Page, dagster: Webserver, launched: Launched, picture: Picture
) -> None:
    until(lambda: dagster.materializations("sales", "2024-02"))
    [event] = dagster.materializations("sales", "2024-02")
    page.goto(f"/runs/{event.run_id}")
    body = page.locator("body")
    expect(body).to_contain_text("raw_layer__sales")
    expect(body).to_contain_text(f"Execution {launched.by_hand} of Step Functions started")
    expect(body).not_to_contain_text("Unable to build execution plan")
    picture("recorded")
    page.goto("/runs")
    sensor = "xpath=ancestor::*[contains(., 'stepfunction')][1]"  # of the column Launched by; long texts are cut
    row = page.get_by_text(event.run_id[:8], exact=True).locator(sensor)
    for text in ("raw_layer / sales", "2024-02", "Success"):
        expect(row).to_contain_text(text)
    expect(row).not_to_contain_text("Starting…")
    picture("runs")


def test_the_partitions_tab_of_a_check_counts_the_months(page: Page, orders: Backfill, picture: Picture) -> None:
    page.goto("/assets/raw_layer/orders?view=checks&checkDetail=rows_match_source")
    tab = page.get_by_text("Partitions", exact=True).nth(1)  # the first is the asset's
    tab.click()
    expect(page.locator("body")).to_contain_text(re.compile(r"Passed\s*\(4\)"))
    picture("check")
