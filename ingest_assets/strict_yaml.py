"""Reading YAML that people write: each mistake is one line that names the place.

PyYAML itself takes the last of two equal keys, and ends with a traceback at a key or value that Python cannot represent
(`? [a, b]`, `2024-13-01`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from spark_scripts.contract.errors import InvalidInputError


class YamlError(InvalidInputError):
    """The file is not YAML, or has a key or value that is not allowed; the message names the line if it is known."""


def read_yaml(path: Path) -> Any:
    """Read the file at `path`. Raises OSError, and YamlError with one line of text."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), StrictLoader)  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise YamlError("is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{where}{' '.join(str(error.problem).split())}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise YamlError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlError("is nested too deeply") from error


def lines_of_entries(path: Path) -> list[int]:
    """The lines on which the entries of a list begin, in a file that `read_yaml` has read."""
    document = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    return [entry.start_mark.line + 1 for entry in document.value] if document else []


class StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that appears twice in a mapping."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. PyYAML does not catch Python's own errors, such as that for a 13th month."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _wrong(node, f"{_text(node)} cannot be read as a value") from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are single values and differ from each other."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, "a key must be a single text, not a list or a mapping")
            if key.value in seen:
                raise _wrong(key, f"the key {key.value!r} appears twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _text(node: yaml.Node) -> str:
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else "this"


def _wrong(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
