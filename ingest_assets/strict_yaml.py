"""YAML as people write it for us: what cannot be meant is one line that names the place.

PyYAML takes the last of two keys that are alike, and ends with a traceback at a key or a value that Python cannot make
(`? [a, b]`, `2024-13-01`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from spark_scripts.contract.errors import InvalidInputError


class YamlError(InvalidInputError):
    """The file is not YAML, or holds what cannot be meant; the message names the line, where there is one."""


def read_yaml(path: Path) -> Any:
    """What the file at `path` holds. Raises OSError, and YamlError with one line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), StrictLoader)  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise YamlError("is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{where}{' '.join(str(error.problem).split())}") from error
    except yaml.YAMLError as error:  # a character that YAML does not have
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("is nested too deeply") from error


def lines_of_entries(path: Path) -> list[int]:
    """The lines on which the entries of a list begin, in a file that `read_yaml` has read."""
    document = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    return [entry.start_mark.line + 1 for entry in document.value] if document else []


class StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that stands twice in a mapping, and names the line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. PyYAML's conversions let Python's own errors through, such as that of a 13th month."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _wrong(node, f"{_text(node)} is no value") from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are single values that stand once."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, "a key must be a single text, not a list or a mapping")
            if key.value in seen:
                raise _wrong(key, f"the key {key.value!r} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _text(node: yaml.Node) -> str:
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else "this"


def _wrong(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
