"""One local account and one `dagster dev` for all end-to-end tests, gone before the next package's tests begin."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from ingest_assets.tables import PACKAGED
from tests.e2e import sources
from tests.e2e.graphql import Backfill, Webserver
from tests.e2e.services import ROOT, Services, started

ADJACENT = ("2024-01", "2024-02", "2024-03")
APART = "2024-05"
FAILING = ("2024-01", "2024-02", "2024-03", "2024-04", "2024-05")

SENSOR = "stepfunction_datapipeline"

_CHROMIUM = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("e2e")
    tables = folder / "tables.yaml"
    tables.write_text(PACKAGED.read_text(encoding="utf-8") + sources.TABLES, encoding="utf-8")
    with started(folder, tables, _free_port()) as services:
        with psycopg.connect(services.environment["SOURCE_DSN"], autocommit=True) as source:
            sources.create(source)
        yield services


@pytest.fixture(scope="package")
def dagster(services: Services) -> Webserver:
    """Dagster's webserver, as the UI uses it."""
    return services.webserver


@dataclass(frozen=True)
class Launched:
    """Backfills by their ids, and an execution that Dagster did not start, by its name."""

    orders: str
    failing: str
    by_hand: str


@pytest.fixture(scope="package")
def launched(services: Services, dagster: Webserver) -> Launched:
    """What is slow goes on while other tests run: Dagster looks after backfills and queue every 30 seconds only."""
    # Dagster 1.13 starts all runs of a pool at once in the pass over its queue in which it first sees the pool.
    dagster.limit_pool("raw_layer_orders")
    orders = dagster.backfill("orders", *ADJACENT, APART)
    failing = dagster.backfill("prices", *FAILING)
    request = json.dumps({"table": "sales", "months": ["2024-02"]})
    trigger = [sys.executable, "-m", "aws_setup", "trigger", "--input", request]
    told = subprocess.run(trigger, env=services.environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return Launched(orders, failing, told.stdout.split()[1].rpartition(":")[2])


@pytest.fixture(scope="package")
def orders(dagster: Webserver, launched: Launched) -> Backfill:
    """The backfill of ADJACENT and APART, once it has ended."""
    return dagster.completed(launched.orders)


@pytest.fixture(scope="package")
def failed(dagster: Webserver, launched: Launched) -> Backfill:
    """The backfill of FAILING, once it has ended. The third month fails."""
    return dagster.completed(launched.failing)


@pytest.fixture(scope="package")
def source(services: Services) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the source database as its owner; every statement commits."""
    with psycopg.connect(services.environment["SOURCE_DSN"], autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="package")
def page(dagster: Webserver) -> Iterator[Page]:
    """A page in a browser, which may ask the webserver only."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_CHROMIUM)
        page = browser.new_page(base_url=dagster.url, viewport={"width": 1280, "height": 800})
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url))
        yield page
        assert asked
        assert [url for url in asked if not url.startswith((dagster.url, "data:", "blob:"))] == []


@pytest.fixture(scope="package")
def clicked(page: Page, launched: Launched) -> list[str]:
    """The months whose backfill a user has launched in the browser."""
    months = [f"2023-0{number}" for number in range(1, 7)]
    page.goto("/assets/raw_layer/mockrecord")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_role("textbox")
    field.fill(f"[{months[0]}...{months[-1]}]")
    field.press("Enter")
    expect(dialog.get_by_text("6 partitions")).to_be_visible()
    dialog.get_by_role("button", name="Launch backfill").click()
    expect(dialog).to_be_hidden()
    page.goto("about:blank")  # Dagster's pages ask the webserver all the time
    return months


@pytest.fixture
def picture(page: Page) -> Callable[[str], None]:
    """Takes the page's picture for the README, `docs/images/<name>.png`, when INGEST_SCREENSHOTS is set."""

    def take(name: str) -> None:
        if os.environ.get("INGEST_SCREENSHOTS"):
            page.wait_for_timeout(1000)  # animations
            page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")

    return take


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
