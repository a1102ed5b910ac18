"""Whether the schedule in AWS starts the same executions as its mirror in Dagster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from ingest_assets.aws.schedule_expression import SCHEDULE_EXPRESSION, SCHEDULE_TIMEZONE, same_times, trailing_months


def differences(expression: str, timezone: str, request: str, deployed: Mapping[str, str]) -> Iterator[str]:
    """What the schedule has otherwise than ingest_assets/aws/schedule_expression.py, and what to do.

    `request` is the JSON that it sends, `deployed` are the parameters of the stack, which tell a change by hand.
    """
    if not same_times(expression, SCHEDULE_EXPRESSION):
        remedy = _remedy("ScheduleExpression", expression, SCHEDULE_EXPRESSION, deployed)
        yield f"the expression is {expression}, in Dagster {SCHEDULE_EXPRESSION}: {remedy}"
    if timezone != SCHEDULE_TIMEZONE:
        remedy = _remedy("ScheduleTimezone", timezone, SCHEDULE_TIMEZONE, deployed)
        yield f"the time zone is {timezone}, in Dagster {SCHEDULE_TIMEZONE}: {remedy}"
    months, expected = _trailing_months(request), trailing_months(SCHEDULE_EXPRESSION)
    if months != expected:
        remedy = _remedy("ScheduleExpression", expression, SCHEDULE_EXPRESSION, deployed)
        if str(months) != deployed.get("TrailingMonths"):
            remedy = _BY_HAND
        yield f"it ingests {months} months before its own, Dagster {expected}: {remedy}"


_BY_HAND = "it was changed by hand, and deploy leaves it so: change it back in EventBridge Scheduler"


def _remedy(parameter: str, actual: str, expected: str, deployed: Mapping[str, str]) -> str:
    if actual != deployed.get(parameter):
        return _BY_HAND
    return (
        f"python -m aws_setup deploy --parameter '{parameter}={expected}',"
        " or change it in ingest_assets/aws/schedule_expression.py"
    )


def _trailing_months(request: str) -> object:
    try:
        document = json.loads(request)
    except ValueError:
        return "no"
    return document.get("trailing_months", "no") if isinstance(document, dict) else "no"
