"""What a user does in a browser. The outcome is seen in test_pages.py, when it is there."""

from __future__ import annotations

from tests.e2e.graphql import Webserver


def test_a_user_chooses_months_and_launches_their_backfill(dagster: Webserver, clicked: list[str]) -> None:
    assert dagster.backfilled("mockrecord") == [clicked]
