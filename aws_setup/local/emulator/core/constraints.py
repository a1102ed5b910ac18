"""Checks the lengths, ranges, patterns and enums of an AWS service model, as the service does.

boto3, and `casing` for a task of a state machine, check types and required members before the request is sent. moto
checks nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


def violations(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """A line for each member of `value` that breaks a constraint, in the words of AWS's validation errors."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        yield from _structure(value, shape, path)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _length(value, shape, path)
        for number, member in enumerate(value, 1):
            yield from violations(member, shape.member, f"{path}.{number}.member")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        yield from _length(value, shape, path)
        for key, member in value.items():
            yield from violations(member, shape.value, f"{path}.{key}")
    elif isinstance(value, str):
        yield from _string(value, shape, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _range(value, shape, path)


def validation_message(found: list[str]) -> str:
    """The message of a ValidationException for these violations."""
    errors = "error" if len(found) == 1 else "errors"
    return f"{len(found)} validation {errors} detected: {'; '.join(found)}"


def _structure(value: dict[str, Any], shape: StructureShape, path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from violations(value[name], member, f"{path}.{name}" if path else name)


def _string(value: str, shape: Shape, path: str) -> Iterator[str]:
    yield from _length(value, shape, path)
    allowed = getattr(shape, "enum", [])
    if allowed and value not in allowed:
        yield _broken(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield _broken(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str) -> bool:
    """Whether the value matches the pattern. True for a pattern that only Java can read."""
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:
        return True


def _range(value: float, shape: Shape, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield _broken(value, path, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield _broken(value, path, f"Member must have value less than or equal to {high}")


def _length(value: str | list[Any] | dict[str, Any], shape: Shape, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and len(value) < low:
        yield _broken(value, path, f"Member must have length greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield _broken(value, path, f"Member must have length less than or equal to {high}")


def _broken(value: object, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
