from __future__ import annotations

from dataclasses import replace

import pytest

from ingest_assets.aws.cost import Prices, Usage, by_month
from tests.unit.ingest_assets.fakes import FakeAws, client_error, entered, manifest
from tests.unit.ingest_assets.harness import Dagster, value

BILLED = {"vCPUHour": 0.4, "memoryGBHour": 1.6, "storageGBHour": 0.0}


def figures(dagster: Dagster) -> dict[str, list[float]]:
    """Each figure of the cost, by month."""
    names = ("vcpu_hours", "gb_hours", "usd")
    return {name: [value(month, name) for month in dagster.months().values()] for name in names}


def test_the_months_of_a_run_share_its_cost_by_their_seconds() -> None:
    months = [
        replace(manifest(month, "n1"), seconds=seconds) for month, seconds in (("2024-01", 1.0), ("2024-02", 3.0))
    ]
    assert by_month(Usage(0.5, 2.0), months) == {"2024-01": Usage(0.125, 0.5), "2024-02": Usage(0.375, 1.5)}


def test_months_without_a_second_share_evenly() -> None:
    months = [replace(manifest(month, "n1"), seconds=0.0) for month in ("2024-01", "2024-02")]
    assert by_month(Usage(0.4, 1.6), months) == {"2024-01": Usage(0.2, 0.8), "2024-02": Usage(0.2, 0.8)}


def test_dollars_are_hours_at_their_prices() -> None:
    metadata = Usage(2.0, 8.0).metadata(Prices(vcpu_hour=0.05, gb_hour=0.005))
    assert metadata["usd"].value == pytest.approx(2.0 * 0.05 + 8.0 * 0.005)


def test_each_month_has_its_share_and_they_add_up_to_the_run(aws: FakeAws, dagster: Dagster) -> None:
    aws.emr_serverless.usage = {"billedResourceUtilization": BILLED, "totalResourceUtilization": {"vCPUHour": 9.0}}
    aws.step_functions.next.answers = [aws.commits("2024-01", "2024-02", "2024-03")]
    assert dagster.materialize("2024-01", "2024-03", usd_per_vcpu_hour=0.1, usd_per_gb_hour=0.01).success
    found = figures(dagster)
    assert found["vcpu_hours"] == pytest.approx([0.4 / 3] * 3)
    assert sum(found["gb_hours"]) == pytest.approx(1.6)
    assert sum(found["usd"]) == pytest.approx(0.4 * 0.1 + 1.6 * 0.01)


def test_the_months_that_a_failed_run_committed_carry_its_whole_cost(aws: FakeAws, dagster: Dagster) -> None:
    aws.emr_serverless.usage = {"billedResourceUtilization": BILLED}
    aws.step_functions.next.answers, aws.step_functions.next.status = [aws.commits("2024-01")], "FAILED"
    assert not dagster.materialize("2024-01", "2024-02").success
    assert figures(dagster)["vcpu_hours"] == [0.4]


def test_usage_is_looked_up_before_the_application_is_gone(aws: FakeAws, dagster: Dagster) -> None:
    def delete() -> None:
        aws.emr_serverless.application = "TERMINATED"

    execution = aws.step_functions.next
    aws.emr_serverless.usage = {"totalResourceUtilization": BILLED}
    execution.events.append(entered("EMR Serverless StopApplication"))
    execution.answers = [aws.commits("2024-02"), delete]
    assert dagster.materialize("2024-02").success
    assert figures(dagster)["vcpu_hours"] == [0.4]


def test_a_month_is_ingested_also_when_its_cost_cannot_be_read(
    aws: FakeAws, dagster: Dagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: str) -> None:
        raise client_error("AccessDeniedException", "no right to GetJobRun")

    monkeypatch.setattr(aws.emr_serverless, "get_job_run", refuse)
    aws.step_functions.next.answers = [aws.commits("2024-02")]
    assert dagster.materialize("2024-02").success
    assert "usd" not in dagster.months()["2024-02"]
    assert any("no right to GetJobRun" in line for line in dagster.log())
