"""Reads and writes CloudFormation's YAML with its short forms such as `!Ref`.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from ingest_assets.strict_yaml import StrictLoader

# Text that needs no quotes: YAML cannot read it as a number, a date, an indicator or a keyword. Colons are left out,
# because older readers of YAML refuse them in a flow mapping.
_PLAIN = re.compile(r"[A-Za-z$][A-Za-z0-9_.$/]*(-[A-Za-z0-9_.$/]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


class _Loader(StrictLoader):
    """Reads the short forms as the long ones."""


def _long_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise yaml.constructor.ConstructorError(None, None, f"!{tag} takes no mapping", node.start_mark)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long_form)


def read(text: str) -> dict[str, Any]:
    """The template in `text`, YAML or JSON, in long forms. Raises yaml.YAMLError when it is neither."""
    loader = _Loader(text)
    try:
        document: dict[str, Any] = loader.get_single_data()
    finally:
        loader.dispose()
    return document


def write(document: dict[str, Any]) -> str:
    """The template in the shortest YAML, with a line for each resource, parameter, condition and output."""
    lines: list[str] = []
    for section, content in document.items():
        if isinstance(content, dict):
            lines += [f"{section}:", *(f" {name}: {_flow(about)}" for name, about in content.items())]
        else:
            lines.append(f"{section}: {_flow(content)}")
    return "".join(f"{line}\n" for line in lines)


def _flow(node: Any) -> str:
    if isinstance(node, dict):
        members = ",".join(f"{_flow(key)}: {_flow(value)}" for key, value in node.items())
        return _function(node) or f"{{{members}}}"
    if isinstance(node, list):
        return f"[{','.join(map(_flow, node))}]"
    if isinstance(node, str) and _PLAIN.fullmatch(node) and node.lower() not in _WORDS:
        return node
    return json.dumps(node, ensure_ascii=False)


def _function(node: dict[str, Any]) -> str | None:
    """The short form of a mapping that calls a function, None for another mapping."""
    if len(node) != 1:
        return None
    ((name, argument),) = node.items()
    if name == "Fn::GetAtt":
        return f"!GetAtt {'.'.join(argument)}"
    if name == "Ref" or name.startswith("Fn::"):
        return f"!{name.removeprefix('Fn::')} {_flow(argument)}"
    return None
