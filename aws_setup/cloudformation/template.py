"""The CloudFormation template, with the state machine, the defaults of the schedule and its input filled in.

`python -m aws_setup.cloudformation.template` prints it, for linters.
"""

from __future__ import annotations

import copy
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from aws_setup.cloudformation import short_forms
from aws_setup.errors import DeployError
from ingest_assets.aws.schedule_expression import SCHEDULE_EXPRESSION, SCHEDULE_INPUT, SCHEDULE_TIMEZONE

_HERE = Path(__file__).parent
TEMPLATE = _HERE / "template.yaml"
STATE_MACHINE = _HERE / "state_machine.asl.json"

# CreateChangeSet's limit for TemplateBody: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/
MAXIMUM_BYTES = 51_200

# For readers of template.yaml, for messages of `deploy`, and for linters; CloudFormation does not need it.
_FOR_PEOPLE = {
    "Parameters": ("Description", "ConstraintDescription"),
    "Outputs": ("Description",),
    "Resources": ("Metadata",),
}


def template() -> dict[str, Any]:
    """The template that CloudFormation gets."""
    return copy.deepcopy(_rendered())


@cache
def _rendered() -> dict[str, Any]:
    return short_forms.read(rendered())


def parameters() -> dict[str, dict[str, Any]]:
    """The declared parameters by name, each with its description and constraints from template.yaml."""
    declared: dict[str, dict[str, Any]] = copy.deepcopy(_read()["Parameters"])
    return declared


def state_machine() -> dict[str, Any]:
    """The state machine in its file. CloudFormation replaces its placeholders `${…}`."""
    definition: dict[str, Any] = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))
    return definition


def annotated() -> dict[str, Any]:
    """The template with everything in its files, descriptions, comments and metadata for linters included."""
    return copy.deepcopy(_read())


@cache
def _read() -> dict[str, Any]:
    document = short_forms.read(TEMPLATE.read_text(encoding="utf-8"))
    document["Resources"]["StateMachine"]["Properties"]["Definition"] = state_machine()
    document["Resources"]["Schedule"]["Properties"]["Target"]["Input"] = json.dumps(SCHEDULE_INPUT)
    for name, default in _schedule_defaults().items():
        document["Parameters"][name]["Default"] = default
    return document


def is_current(body: object) -> bool:
    """Whether `body`, the answer of GetTemplate, is this template. botocore turns a JSON template into a mapping."""
    return (short_forms.read(body) if isinstance(body, str) else body) == template()


@cache
def rendered() -> str:
    """The template for a change set: at most 51,200 bytes, without descriptions and comments.

    Raises DeployError when it is larger.
    """
    document = annotated()
    for section, keys in _FOR_PEOPLE.items():
        for about in document[section].values():
            for key in keys:
                about.pop(key, None)
    for resource in document["Resources"].values():
        _leave_out_defaults(resource)
    properties = document["Resources"]["StateMachine"]["Properties"]
    properties["Definition"] = _without_comments(properties["Definition"])
    text = short_forms.write(document)
    size = len(text.encode())
    if size > MAXIMUM_BYTES:
        raise DeployError(f"the rendered template has {size} bytes, but a change set accepts at most {MAXIMUM_BYTES}")
    return text


def _leave_out_defaults(resource: dict[str, Any]) -> None:
    """Remove policies that say Delete: it is CloudFormation's default, and only linters want it written out."""
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        if resource.get(policy) == "Delete":
            del resource[policy]


def _without_comments(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_comments(value) for key, value in node.items() if key != "Comment"}
    return [_without_comments(value) for value in node] if isinstance(node, list) else node


def _schedule_defaults() -> dict[str, str]:
    """The defaults of the parameters that also define Dagster's schedule."""
    return {
        "ScheduleExpression": SCHEDULE_EXPRESSION,
        "ScheduleTimezone": SCHEDULE_TIMEZONE,
    }


def main() -> None:
    """Print the template with its comments, indented."""
    rendered()  # raises when it is too large
    json.dump(annotated(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
