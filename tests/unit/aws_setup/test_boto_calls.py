"""Each call of an AWS API in the code, and each of its parameters, exists in botocore's models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

ROOT = Path(__file__).parents[3]
SERVICES = (
    "cloudformation", "ec2", "emr-serverless", "glue", "s3", "scheduler", "secretsmanager", "sns", "sqs",
    "stepfunctions", "sts",
)  # fmt: skip
# Methods of other objects that have the name of an operation.
OTHERS = {"publish"}


@dataclass(frozen=True)
class Call:
    """A call in the code. `open` says that some of its parameters are not literal."""

    place: str
    method: str
    parameters: frozenset[str]
    open: bool


@cache
def operations() -> dict[str, list[Any]]:
    """The models of the operations by the name of the method that calls them."""
    session = botocore.session.get_session()
    found: dict[str, list[Any]] = {}
    for service in SERVICES:
        model = session.get_service_model(service)
        for name in model.operation_names:
            found.setdefault(xform_name(name), []).append(model.operation_model(name))
    return found


def calls() -> list[Call]:
    folders = [ROOT / name for name in ("ingest_assets", "spark_scripts", "aws_setup")]
    sources = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    emulator = ROOT / "aws_setup" / "local" / "emulator"  # calls moto's backends, which have methods of the same names
    return [call for path in sources if not path.is_relative_to(emulator) for call in calls_of(path)]


def calls_of(path: Path) -> Iterator[Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        method, inner = node.func.attr, node.func.value
        if method == "paginate" and isinstance(inner, ast.Call) and isinstance(inner.args[0], ast.Constant):
            method = str(inner.args[0].value)
        if method in operations() and not node.args:
            named = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
            is_open = any(keyword.arg is None for keyword in node.keywords)
            yield Call(f"{path.relative_to(ROOT)}:{node.lineno}", method, named, is_open)


def refusal(call: Call) -> str | None:
    """Why no operation of that name accepts the call, None when one does."""
    reasons = []
    for operation in operations()[call.method]:
        shape = operation.input_shape
        known = set(shape.members) if shape else set()
        required = set(shape.required_members) if shape and not call.open else set()
        unknown, missing = call.parameters - known - {"PaginationConfig"}, required - call.parameters
        if not unknown and not missing:
            return None
        reasons.append(f"{operation.service_model.service_name}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    return f"{call.place} {call.method}: {'; '.join(reasons)}"


def test_every_call_is_one_of_an_api_with_its_parameters() -> None:
    found = calls()
    assert len({call.method for call in found}) > 30  # else they are not found any more
    own = [call for call in found if call.method not in OTHERS or call.parameters & {"TopicArn"}]
    assert [reason for call in own if (reason := refusal(call))] == []


@pytest.mark.parametrize(
    ("method", "parameters"),
    [("start_execution", {"stateMachineArn", "nam"}), ("get_object", {"Bucket"}), ("describe_stacks", {"Stack"})],
)
def test_a_wrong_call_is_found(method: str, parameters: set[str]) -> None:
    assert refusal(Call("here", method, frozenset(parameters), open=False)) is not None
