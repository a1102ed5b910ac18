"""The template's parameters: which of them deploy sets itself, and what a user may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aws_setup import template
from aws_setup.errors import UsageError
from ingest_assets.cron import trailing_months
from ingest_assets.stack import DEFAULT_STACK

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

_SET_BY_DEPLOY = ("NameSuffix", "ScriptPrefix", "DriverKey")


def name_suffix(stack: str) -> str:
    """What follows the fixed names in the stack: nothing in the default one, which has the names of the seed."""
    return "" if stack == DEFAULT_STACK else f"-{stack}"


def application_name(stack: str) -> str:
    """The name of the EMR Serverless applications that the stack's state machine creates."""
    return f"EMR-Step-Function{name_suffix(stack)}"


def check(given: Mapping[str, str]) -> None:
    """Raise UsageError for a parameter that the template does not have or that deploy sets itself."""
    settable = [name for name in template.parameters() if name not in _SET_BY_DEPLOY]
    for name in given:
        if name in _SET_BY_DEPLOY:
            raise UsageError(f"the parameter {name} is set by deploy")
        if name not in settable:
            raise UsageError(f"unknown parameter {name}: the template has {', '.join(settable)}")


def complete(
    given: Mapping[str, str], previous: Mapping[str, str] | None, *, stack: str, script_prefix: str, driver_key: str
) -> list[ParameterTypeDef]:
    """The parameters of a change set. `previous` are those of the stack, None before its first deployment.

    Raises UsageError when one is missing, CronError when the schedule's expression is wrong.
    """
    declared = template.parameters()
    defaults = {name: str(about["Default"]) for name, about in declared.items() if "Default" in about}
    expression = {**defaults, **(previous or {}), **given}["ScheduleExpression"]
    values = {
        "TrailingMonths": str(trailing_months(expression)),
        **given,
        "NameSuffix": name_suffix(stack),
        "ScriptPrefix": script_prefix,
        "DriverKey": driver_key,
    }
    kept = [name for name in declared if name not in values and name in (previous or {})]
    missing = [name for name in declared if name not in {*values, *kept, *defaults}]
    if missing:
        raise UsageError(f"{missing[0]} is needed: --parameter {missing[0]}=… ({declared[missing[0]]['Description']})")
    complete: list[ParameterTypeDef] = []
    complete += [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    complete += [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]
    return complete
