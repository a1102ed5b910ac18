"""Converts task parameters in PascalCase to requests of an AWS API (often in camelCase), and answers to results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


class ParametersError(ValueError):
    """The parameters of a task do not fit the API. `errors` has a sentence for each field."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(f"[{', '.join(errors)}]")
        self.errors = errors


def pascal(name: str) -> str:
    """The name of a member in a state machine."""
    return name[:1].upper() + name[1:]


def request_from_parameters(parameters: Any, shape: StructureShape, *, check: bool = True) -> dict[str, Any]:
    """The request of the API for a task's parameters.

    Raises ParametersError naming every unknown, missing and mistyped field, unless `check` is False. Client tokens may
    be missing, because SDKs fill them in.
    """
    errors: list[str] = []
    request = _to_request(parameters, shape, "Parameters", errors)
    if errors and check:
        raise ParametersError(errors)
    return dict(request)


def result_from_response(value: Any, shape: Shape | None) -> Any:
    """The result of a task for an answer of the API. Times become text."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {pascal(name): result_from_response(member, shape.members.get(name)) for name, member in value.items()}
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: result_from_response(member, shape.value) for key, member in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [result_from_response(member, shape.member) for member in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.decode()
    return value.read().decode() if hasattr(value, "read") else value


_SCALARS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "a STRING"),
    "boolean": (lambda value: isinstance(value, bool), "a BOOLEAN"),
    "integer": (lambda value: isinstance(value, int) and not isinstance(value, bool), "an INTEGER"),
    "long": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a LONG"),
    "double": (lambda value: isinstance(value, (int, float)) and not isinstance(value, bool), "a DOUBLE"),
    "float": (lambda value: isinstance(value, (int, float)) and not isinstance(value, bool), "a FLOAT"),
}


def _to_request(value: Any, shape: Shape, field: str, errors: list[str]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(value, shape, field, errors)
    if isinstance(shape, MapShape) and _is(dict, value, field, "a MAP", errors):
        return {key: _to_request(member, shape.value, f"{field}.{key}", errors) for key, member in value.items()}
    if isinstance(shape, ListShape) and _is(list, value, field, "a LIST", errors):
        return [_to_request(member, shape.member, field, errors) for member in value]
    if shape.type_name in _SCALARS:
        fits, kind = _SCALARS[shape.type_name]
        if not fits(value):
            errors.append(f"The value for the field '{field}' must be {kind}")
    return value


def _structure(value: Any, shape: StructureShape, field: str, errors: list[str]) -> dict[str, Any]:
    if not _is(dict, value, field, "a STRUCTURE", errors):
        return {}
    members = {pascal(name): name for name in shape.members}
    request = {}
    for name, member in value.items():
        if name in members:
            request[members[name]] = _to_request(member, shape.members[members[name]], name, errors)
        else:
            errors.append(f"The field '{name}' is not supported by Step Functions")
    errors += [
        f"The field '{pascal(name)}' is required but was missing"
        for name in shape.required_members
        if name not in request and not shape.members[name].metadata.get("idempotencyToken")
    ]
    return request


def _is(kind: type, value: Any, field: str, name: str, errors: list[str]) -> bool:
    if not isinstance(value, kind):
        errors.append(f"The value for the field '{field}' must be {name}")
    return isinstance(value, kind)
