"""The parameters of the template: their values, and which ones a user may set."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_setup.cloudformation import template
from aws_setup.errors import UsageError
from ingest_assets.aws.schedule_expression import cron_schedule
from ingest_assets.aws.stack import DEFAULT_STACK
from ingest_assets.strict_yaml import YamlError, read_yaml

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

_SET_BY_DEPLOY = ("NameSuffix", "ScriptPrefix", "DriverKey")


def name_suffix(stack: str) -> str:
    """The suffix of all fixed names in the stack; empty for the default stack."""
    return "" if stack == DEFAULT_STACK else f"-{stack}"


def application_name(stack: str) -> str:
    """The name of the EMR Serverless applications that the stack's state machine creates."""
    return f"EMR-Step-Function{name_suffix(stack)}"


def from_file(path: Path) -> dict[str, str]:
    """The template parameters in a YAML file: a mapping from names to strings, numbers, booleans or lists of these.

    A list becomes a string with commas between its elements, as CloudFormation expects it. Raises UsageError naming the
    file and the key that is wrong.
    """
    try:
        document = read_yaml(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except YamlError as error:
        raise UsageError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a mapping of template parameters, such as `BucketName: my-lake`")
    values = {str(name): _value(path, str(name), value) for name, value in document.items()}
    try:
        check(values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return values


def _value(path: Path, name: str, value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_value(path, name, element) for element in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise UsageError(f"{path}: {name} must be a string, a number, true or false, or a list of these")


def effective(given: Mapping[str, str], previous: Mapping[str, str] | None) -> dict[str, str]:
    """The value that each parameter will have: the given one, else the stack's current one, else the default."""
    declared = template.parameters()
    current = {name: value for name, value in (previous or {}).items() if name in declared}
    return {**defaults(), **current, **given}


def defaults() -> dict[str, str]:
    """The defaults of the parameters that have one."""
    return {name: str(about["Default"]) for name, about in template.parameters().items() if "Default" in about}


def check(given: Mapping[str, str]) -> None:
    """Raise UsageError for a parameter that is unknown, that only deploy sets, or that has a wrong value.

    CloudFormation checks the values too, but only after the uploads.
    """
    declared = template.parameters()
    settable = [name for name in declared if name not in _SET_BY_DEPLOY]
    for name, value in given.items():
        if name in _SET_BY_DEPLOY:
            raise UsageError(f"deploy sets the parameter {name} itself: leave it out")
        if name not in settable:
            raise UsageError(f"unknown parameter {name}: the template has {', '.join(settable)}")
        if not _allowed(declared[name], value):
            raise UsageError(f"{name} cannot be {value!r}: it accepts {_constraint(declared[name])}")


def _allowed(about: Mapping[str, Any], value: str) -> bool:
    if "AllowedValues" in about:
        return value in map(str, about["AllowedValues"])
    if about["Type"] == "Number":
        return (
            value.isascii()
            and value.isdigit()
            and about.get("MinValue", 0) <= int(value) <= about.get("MaxValue", math.inf)
        )
    fits = about.get("MinLength", 0) <= len(value) <= about.get("MaxLength", math.inf)
    return fits and re.fullmatch(about.get("AllowedPattern", ".*"), value, re.DOTALL) is not None


def _constraint(about: Mapping[str, Any]) -> str:
    if "AllowedValues" in about:
        return ", ".join(map(str, about["AllowedValues"]))
    if about["Type"] == "Number":
        return f"{about.get('MinValue', 0)} to {about.get('MaxValue', 'any number')}"
    lengths = f"{about.get('MinLength', 0)} to {about.get('MaxLength', 'any number of')} characters"
    return str(about.get("ConstraintDescription") or about.get("AllowedPattern") or lengths)


def complete(
    given: Mapping[str, str], previous: Mapping[str, str] | None, *, stack: str, script_prefix: str, driver_key: str
) -> list[ParameterTypeDef]:
    """The parameters of a change set. `previous` are the stack's current ones, None before its first deployment.

    Raises UsageError when a parameter is missing, or when the stack's name cannot be part of AWS names. Raises
    CronError when the expression of the schedule is wrong.
    """
    declared = template.parameters()
    if not _allowed(declared["NameSuffix"], name_suffix(stack)):
        raise UsageError(
            f"INGEST_STACK cannot be {stack!r}: give at most 37 letters, digits and hyphens, since AWS names contain it"
        )
    cron_schedule(effective(given, previous)["ScheduleExpression"])
    values = {
        **given,
        "NameSuffix": name_suffix(stack),
        "ScriptPrefix": script_prefix,
        "DriverKey": driver_key,
    }
    unchanged = [name for name in declared if name not in values and name in (previous or {})]
    missing = [name for name in declared if name not in {*values, *unchanged, *defaults()}]
    if missing:
        raise UsageError(
            f"{missing[0]} is missing: give --parameter {missing[0]}=… ({declared[missing[0]]['Description']})"
        )
    complete: list[ParameterTypeDef] = []
    complete += [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    complete += [{"ParameterKey": name, "UsePreviousValue": True} for name in unchanged]
    return complete
