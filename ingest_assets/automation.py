"""Which sensors and schedules run as soon as Dagster starts. A switch in the UI overrides it.

`INGEST_AUTOMATION=1` is for the one Dagster deployment that serves a queue: everything runs. With `sensors` the
schedules and the sensor for overdue months stay stopped. Without the variable everything is stopped, so that a laptop
that points at the account takes no messages from its queue and starts nothing.
"""

from __future__ import annotations

import dagster as dg

from ingest_assets import environment
from spark_scripts.contract.errors import InvalidInputError

_NOTHING = ("", "0")
_EVERYTHING = "1"
_SENSORS = "sensors"


def sensor_status() -> dg.DefaultSensorStatus:
    """Whether the sensors run, except that for overdue months. Raises InvalidInputError for an unknown value."""
    running = _mode() in (_EVERYTHING, _SENSORS)
    return dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Dagster's sensor for automation conditions, by its own name: Dagster would add it stopped.

    It runs with the sensors, because what it starts reads the raw layer and costs nothing in AWS but requests. Raises
    InvalidInputError for an unknown value of the variable.
    """
    return dg.AutomationConditionSensorDefinition(
        "default_automation_condition_sensor", target=dg.AssetSelection.all(), default_status=sensor_status()
    )


def freshness_status() -> dg.DefaultSensorStatus:
    """Whether the sensor for overdue months runs. It needs the schedule, without which no month is due.

    Raises InvalidInputError for an unknown value.
    """
    running = _mode() == _EVERYTHING
    return dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED


def schedule_status() -> dg.DefaultScheduleStatus:
    """Whether the schedule runs. Raises InvalidInputError for an unknown value."""
    return dg.DefaultScheduleStatus.RUNNING if _mode() == _EVERYTHING else dg.DefaultScheduleStatus.STOPPED


def _mode() -> str:
    mode = environment.read(environment.AUTOMATION) or ""
    if mode not in (*_NOTHING, _EVERYTHING, _SENSORS):
        raise InvalidInputError(
            f"{environment.AUTOMATION} is {mode!r}: set it to {_EVERYTHING} (sensors, alerts and schedule run), to "
            f"{_SENSORS} (all but the schedule), or unset it"
        )
    return mode
