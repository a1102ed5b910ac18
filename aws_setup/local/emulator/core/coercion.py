"""Converts numbers and booleans that a template holds as text, as CloudFormation does before it calls an API."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

_TRUE_FALSE = {"true": True, "false": False}
_NUMBERS = {"integer": int, "long": int, "float": float, "double": float}


def coerced(value: Any, shape: Shape | None) -> Any:
    """`value` with text converted to the types of `shape`, and numbers to text where `shape` is a string."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: coerced(member, shape.members.get(name)) for name, member in value.items()}
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: coerced(member, shape.value) for key, member in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [coerced(member, shape.member) for member in value]
    return value if shape is None else _scalar(value, shape.type_name)


def _scalar(value: Any, kind: str) -> Any:
    if kind == "boolean" and isinstance(value, str):
        return _TRUE_FALSE.get(value.lower(), value)
    if kind in _NUMBERS and isinstance(value, str):
        try:
            return _NUMBERS[kind](value)
        except ValueError:
            return value  # the API refuses it
    if kind == "string" and isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
