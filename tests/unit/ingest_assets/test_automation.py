from __future__ import annotations

import dagster as dg
import pytest

from ingest_assets.automation import schedule_status, sensor_status
from ingest_assets.definitions import build_definitions
from spark_scripts.contract.errors import InvalidInputError

OFF, ON = "STOPPED", "RUNNING"


@pytest.mark.parametrize(
    ("value", "sensors", "schedules"),
    [(None, OFF, OFF), ("", OFF, OFF), ("0", OFF, OFF), ("sensors", ON, OFF), ("1", ON, ON)],
)
def test_what_runs_by_itself(value: str | None, sensors: str, schedules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("INGEST_AUTOMATION", value)
    repository = build_definitions().get_repository_def()
    assert {one.name: one.default_status.value for one in repository.sensor_defs} == {
        "stepfunction_datapipeline": sensors,
        "run_failure_alerts": sensors,
        "default_automation_condition_sensor": sensors,
        "overdue_months": schedules,  # nothing is due where nothing is scheduled
    }
    assert {one.default_status.value for one in repository.schedule_defs} == {schedules}


@pytest.mark.parametrize("value", ["true", "2", "SENSORS", " 1"])
def test_another_value_keeps_the_code_location_from_loading(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_AUTOMATION", value)
    with pytest.raises(InvalidInputError, match=f"INGEST_AUTOMATION is '{value}': set it to 1 .* or unset it"):
        build_definitions()


def test_nothing_runs_by_itself_unless_asked() -> None:
    assert sensor_status() is dg.DefaultSensorStatus.STOPPED
    assert schedule_status() is dg.DefaultScheduleStatus.STOPPED
