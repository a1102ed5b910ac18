from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from tests.unit.dagster.fakes import FakeAws
from tests.unit.dagster.harness import KEY, Dagster

# The schedule ticks on the 1st and 15th from March to June, and its ticks of a day are due by the end of it.
DURING_THE_REST = datetime(2026, 11, 24, 12, tzinfo=UTC)
ON_THE_DAY = datetime(2026, 3, 15, 18, tzinfo=UTC)
ON_THE_DAY_AFTER = datetime(2026, 3, 16, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("months", "now", "expected"),
    [
        ([], DURING_THE_REST, False),
        (["2026-06"], DURING_THE_REST, True),
        (["2026-06", "2023-01"], DURING_THE_REST, True),
        (["2026-05", "2023-01"], DURING_THE_REST, False),
        (["2026-03"], ON_THE_DAY_AFTER, True),
        (["2026-02"], ON_THE_DAY_AFTER, False),
        (["2026-03"], ON_THE_DAY, True),
    ],
)
def test_a_table_is_fresh_when_the_month_of_the_last_tick_is_ingested_whatever_else_was(
    aws: FakeAws, dagster: Dagster, months: list[str], now: datetime, expected: bool
) -> None:
    for month in months:
        dagster.instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=month))
    with freeze_time(now):
        [evaluation] = dagster.check_freshness().get_asset_check_evaluations()
    assert evaluation.passed is expected
