"""The CloudFormation template with the state machine and the schedule's defaults in it.

`python -m aws_setup.template` prints it, for linters.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ingest_assets.cron import SCHEDULE_EXPRESSION, SCHEDULE_TIMEZONE, trailing_months
from spark_scripts.errors import IngestionError

_HERE = Path(__file__).parent
TEMPLATE = _HERE / "template.yaml"
STATE_MACHINE = _HERE / "state_machine.asl.json"

# CreateChangeSet's limit for TemplateBody: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/
_MAXIMUM_BYTES = 51_200


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, `!Ref` and the like, read as the long ones."""


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


def template() -> dict[str, Any]:
    """The template as CloudFormation gets it."""
    document: dict[str, Any] = json.loads(rendered())
    return document


def parameters() -> dict[str, dict[str, Any]]:
    """The declared parameters by name, with what the template says of each."""
    declared: dict[str, dict[str, Any]] = template()["Parameters"]
    return declared


def state_machine() -> dict[str, Any]:
    """The state machine as it stands in its file: placeholders `${…}` are filled by CloudFormation."""
    definition: dict[str, Any] = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))
    return definition


def annotated() -> dict[str, Any]:
    """The template with all that its files hold: also the state machine's comments and what linters are told."""
    loader = _Loader(TEMPLATE.read_text(encoding="utf-8"))
    try:
        document: dict[str, Any] = loader.get_single_data()
    finally:
        loader.dispose()
    document["Resources"]["StateMachine"]["Properties"]["Definition"] = state_machine()
    for name, default in _schedule_defaults().items():
        document["Parameters"][name]["Default"] = default
    return document


@cache
def rendered() -> str:
    """The template as one line of JSON, without comments: a change set takes no more than 51,200 bytes.

    Raises IngestionError when it is larger.
    """
    document = annotated()
    for resource in document["Resources"].values():
        resource.pop("Metadata", None)
    properties = document["Resources"]["StateMachine"]["Properties"]
    properties["Definition"] = _without_comments(properties["Definition"])
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > _MAXIMUM_BYTES:
        raise IngestionError(f"the rendered template has {size} bytes, a change set takes {_MAXIMUM_BYTES}")
    return text


def _without_comments(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_comments(value) for key, value in node.items() if key != "Comment"}
    return [_without_comments(value) for value in node] if isinstance(node, list) else node


def _schedule_defaults() -> dict[str, str | int]:
    """The defaults of the parameters that Dagster's mirror of the schedule shares."""
    return {
        "ScheduleExpression": SCHEDULE_EXPRESSION,
        "ScheduleTimezone": SCHEDULE_TIMEZONE,
        "TrailingMonths": trailing_months(SCHEDULE_EXPRESSION),
    }


def main() -> None:
    """Print the template with its comments, indented."""
    rendered()  # it must fit
    json.dump(annotated(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
