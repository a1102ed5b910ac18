"""The operations of AWS that the code can call, read from the code itself, as actions of IAM.

A recording shows what a run happened to call; this shows what could be called on any way through the code.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
from botocore import xform_name

from tests.access.calls import action_of

ROOT = Path(__file__).parents[2]
SERVICES = (
    "cloudformation", "ec2", "emr", "emr-serverless", "glue", "resourcegroupstaggingapi", "s3", "scheduler",
    "secretsmanager", "sns", "sqs", "stepfunctions", "sts",
)  # fmt: skip


@cache
def known_actions() -> frozenset[str]:
    """Every action in AWS's Service Authorization Reference, as cfn-lint carries it, in lower case."""
    file = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    listed = json.loads(file.read_text(encoding="utf-8"))
    return frozenset(f"{prefix}:{action}" for prefix, about in listed.items() for action in about["Actions"])


@cache
def _methods() -> Mapping[str, list[tuple[str, Any]]]:
    """Service and model of the operations that a client's method of this name can be."""
    session = botocore.session.get_session()
    found: dict[str, list[tuple[str, Any]]] = {}
    for service in SERVICES:
        model = session.get_service_model(service)
        for name in model.operation_names:
            found.setdefault(xform_name(name), []).append((service, model.operation_model(name)))
    return found


def actions(nodes: Iterable[ast.AST]) -> set[str]:
    """The actions that the calls in these pieces of code need."""
    return {action_of(service, operation) for node in nodes for service, operation in _operations(node)}


def _operations(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        parameters = {keyword.arg for keyword in node.keywords if keyword.arg}
        method = node.func.attr
        if method == "get_paginator":
            assert isinstance(node.args[0], ast.Constant)
            method, parameters = str(node.args[0].value), set()
        elif node.args:
            continue
        yield from _fitting(method, parameters)


def _fitting(method: str, parameters: set[str]) -> list[tuple[str, str]]:
    """The operations that take these parameters; a call that fits two services counts for both."""
    return [
        (service, model.name)
        for service, model in _methods().get(method, [])
        if model.input_shape is None or parameters <= model.input_shape.members.keys()
    ]


def modules(folder: str, without: str = "") -> list[ast.Module]:
    """The modules of a package, but for a folder in it."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    kept = [path for path in paths if not without or not path.is_relative_to(ROOT / folder / without)]
    return [ast.parse(path.read_text(encoding="utf-8")) for path in kept]


def borrowed(package: str, by: Iterable[ast.Module]) -> Iterator[ast.AST]:
    """The functions and classes of `package` that the modules `by` import, and what these use in their own modules."""
    for module in by:
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
                yield from _imported(node, module)


def _imported(statement: ast.ImportFrom, importing: ast.Module) -> Iterator[ast.AST]:
    for alias in statement.names:
        whole = ROOT / f"{statement.module}.{alias.name}".replace(".", "/")
        if whole.with_suffix(".py").exists():  # a module, of which attributes are used
            used = list(_attributes(importing, alias.name))
            yield from _with_what_they_use(whole.with_suffix(".py"), used)
        else:
            yield from _with_what_they_use(ROOT / f"{str(statement.module).replace('.', '/')}.py", [alias.name])


def _attributes(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            yield node.attr


def _with_what_they_use(path: Path, names: list[str]) -> Iterator[ast.AST]:
    """The definitions of these names in a module, and those that they refer to there."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name: node for node in module.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in defined and name not in seen:
            seen.add(name)
            yield defined[name]
            waiting += [node.id for node in ast.walk(defined[name]) if isinstance(node, ast.Name)]
