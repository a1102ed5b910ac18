"""How the schedule in EventBridge may differ from Dagster's, and what is to be done about it."""

from dataclasses import replace

import pytest

from ingest_assets.aws.schedule_drift import DeployedSchedule, differences
from ingest_assets.aws.schedule_expression import SCHEDULE_EXPRESSION, SCHEDULE_TIMEZONE

SAME = DeployedSchedule("schedule", "ENABLED", SCHEDULE_EXPRESSION, SCHEDULE_TIMEZONE, '{"refresh":true}')
OLD = '{"scheduled_time": "<aws.scheduler.scheduled-time>", "trailing_months": 10}'
OTHER = DeployedSchedule("schedule", "ENABLED", "cron(0 2 1 * ? *)", "UTC", OLD)
PARAMETERS = {"ScheduleExpression": SCHEDULE_EXPRESSION, "ScheduleTimezone": SCHEDULE_TIMEZONE}


def test_a_schedule_with_other_parameters_says_how_to_deploy_those_of_dagster() -> None:
    deployed = {"ScheduleExpression": OTHER.expression, "ScheduleTimezone": "UTC"}
    lines = list(differences(OTHER, deployed))
    assert [line.split(",")[0] for line in lines[:2]] == [
        "schedule has the expression cron(0 2 1 * ? *) in EventBridge",
        "schedule has the time zone UTC in EventBridge",
    ]
    assert [line.partition("deploy --parameter ")[2].partition(", or change SCHEDULE_")[0] for line in lines[:2]] == [
        f"'ScheduleExpression={SCHEDULE_EXPRESSION}'",
        f"ScheduleTimezone={SCHEDULE_TIMEZONE}",
    ]


def test_a_schedule_that_was_changed_by_hand_must_be_changed_back_by_hand() -> None:
    lines = list(differences(OTHER, PARAMETERS))
    assert [line.rpartition(": ")[2] for line in lines] == ["change it back in EventBridge Scheduler"] * 3


@pytest.mark.parametrize("request_", ["[]", "{", "{}", OLD, '{"refresh": true, "trailing_months": 2}'])
def test_a_schedule_that_sends_another_input_differs(request_: str) -> None:
    (line,) = differences(replace(SAME, input=request_), PARAMETERS)
    assert line.startswith(
        f'schedule has the input {request_} in EventBridge, Dagster\'s schedules {{"refresh": true}}: run `python -m'
        " aws_setup deploy`"
    )


def test_a_schedule_as_it_was_deployed_has_no_differences() -> None:
    assert list(differences(SAME, PARAMETERS)) == []
    assert list(differences(SAME)) == []
