from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from ingest_assets.checks.results import Evaluated
from ingest_assets.checks.up_to_date import up_to_date
from ingest_assets.definitions import build_definitions
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from spark_scripts.contract import layout
from spark_scripts.contract.refresh import Findings, Look
from tests.unit.ingest_assets.fakes import FakeAws
from tests.unit.ingest_assets.harness import KEY, Dagster


def look(reason: str | None = None, ago: timedelta = timedelta(0), **others: Any) -> Look:
    at = datetime.now(UTC) - ago
    return Look(at.isoformat(timespec="seconds"), "n1", reason, **others)


def known(aws: FakeAws, **looks: Look) -> None:
    """Write the looks, whose names are months with an `m` before and `_` for the hyphen."""
    findings = Findings("mockrecord", {name.lstrip("m").replace("_", "-"): each for name, each in looks.items()})
    aws.s3.objects[layout.findings_key("mockrecord")] = findings.to_json().encode()


def result() -> dg.AssetCheckEvaluation:
    return up_to_date(RawLayerResource(account=AwsAccount(), s3=S3Resource()), Evaluated(KEY, None))


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(seconds=-5), "less than a minute ago"),
        (timedelta(minutes=1, seconds=30), "1 minute ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=12), "12 days ago"),
    ],
)
def test_it_says_how_old_the_oldest_look_is(aws: FakeAws, ago: timedelta, told: str) -> None:
    newer = ago - timedelta(seconds=20)
    known(aws, m2024_01=look(ago=ago), m2024_02=look(ago=newer), mundated=look(ago=newer))
    found = result()
    assert found.passed
    assert found.description
    assert found.description.startswith("All 2 months are as in the source, as of ")
    assert found.description.endswith(f" UTC, {told}.")
    assert (found.severity, found.partition) == (dg.AssetCheckSeverity.WARN, None)


def test_it_names_the_months_that_differ_with_the_reasons_and_the_rows_without_a_month(aws: FakeAws) -> None:
    known(aws, m2024_01=look("columns"), m2024_02=look(), mundated=look("rows 1 → 2"))
    found = result()
    assert not found.passed
    assert found.description
    assert found.description.startswith("1 of 2 months and the rows without a month differ from the source, as of ")
    assert found.description.endswith(": 2024-01 (columns), the rows without a month (rows 1 → 2).")
    assert found.metadata["months_that_differ"].value == 1


def test_a_month_that_was_ingested_after_the_look_is_up_to_date_whatever_the_clocks_say(aws: FakeAws) -> None:
    aws.s3.commit("2024-01", "n0", finished="2026-01-01T00:00:00+00:00")
    before = look("columns", ingested="2026-01-01T00:00:00+00:00")
    known(aws, m2024_01=before, m2024_02=look("was not ingested before"))
    assert str(result().description).endswith(": 2024-01 (columns), 2024-02 (was not ingested before).")
    aws.s3.commit("2024-01", "n2", finished="2025-12-31T23:59:00+00:00")
    aws.s3.commit("2024-02", "n2")
    assert result().passed


def test_many_months_are_named_in_part(aws: FakeAws) -> None:
    known(aws, **{f"m2023_{number:02}": look("columns") for number in range(1, 13)})
    assert str(result().description).endswith("2023-10 (columns) and 2 more.")


@pytest.mark.parametrize("content", [None, b'{"version": 99}', b"half a docu"])
def test_a_table_that_no_refresh_has_looked_at_is_not_known_to_be_up_to_date(
    aws: FakeAws, content: bytes | None
) -> None:
    if content is not None:
        aws.s3.objects[layout.findings_key("mockrecord")] = content
    found = result()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    told = "Not known: no refresh has looked at mockrecord yet. Run the job refresh_mockrecord or `trigger --look`."
    assert found.description == told


def test_it_can_be_executed_alone(aws: FakeAws, dagster: Dagster) -> None:
    known(aws, m2024_01=look())
    assert dagster.check_up_to_date().success
    assert [passed for passed, _ in dagster.up_to_date()] == [True]
    assert aws.step_functions.started == []
    assert dagster.checks("2024-01") == {}
    assert dagster.checks(None) == {}


def test_each_table_has_the_check_which_blocks_nothing() -> None:
    checks = build_definitions().resolve_asset_graph().asset_check_keys
    tables = {key.asset_key for key in checks if key.name == "up_to_date"}
    assert tables == {dg.AssetKey(["raw_layer", name]) for name in ("mockrecord", "orders")}
    specs = build_definitions().resolve_assets_def(KEY).check_specs
    assert [spec.blocking for spec in specs if spec.name == "up_to_date"] == [False]
