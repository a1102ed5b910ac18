"""Applying a change set: what it adds, modifies and removes, by comparing resolved properties.

In place of `ChangeSet.diff` and `ChangeSet.apply` of moto 5.2.5, which list resources whose condition is false, miss
parameters that changed in Fn::Sub and in conditions, lose resources of types without an update, and leave a new
stack without Outputs. Drop it when moto's own do better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Change, ChangeSet, Stack
from moto.cloudformation.parsing import ResourceMap

_KEEPING = ("Retain", "RetainExceptOnCreate")
_MOST_PASSES = 5  # a replaced resource changes those that refer to it, and so on


@dataclass(frozen=True)
class Action:
    """What happens to one resource: Add, Modify or Remove."""

    kind: str
    logical_id: str
    resource_type: str


class _NotYetMade:
    """Stands for a resource that a change set would add, where another refers to it."""

    def __init__(self, logical_id: str) -> None:
        self.physical_resource_id = logical_id

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Fn::GetAtt."""
        return f"{self.physical_resource_id}.{attribute_name}"


def diff(self: ChangeSet) -> list[Change]:
    """The changes that a change set shows."""
    return [Change(step.kind, step.logical_id, step.resource_type) for step in _plan_of(self)]


def apply(self: ChangeSet) -> None:
    """Make the stack what the change set says."""
    apply_template(self.stack, self.template, self.template_dict, self.parameters)


def changes_nothing(change_set: ChangeSet) -> bool:
    """Whether neither a resource nor an output would change."""
    old, new = change_set.stack.template_dict, change_set.template_dict
    return not _plan_of(change_set) and old.get("Outputs") == new.get("Outputs")


def _plan_of(change_set: ChangeSet) -> list[Action]:
    return plan(change_set.stack, change_set.template_dict, change_set.parameters)


def apply_template(stack: Stack, source: Any, template: dict[str, Any], parameters: Mapping[str, Any]) -> None:
    """Bring the stack's resources, outputs and parameters to this template. Raises what the resource types raise."""
    old_templates = dict(stack.resource_map._resource_json_map)
    steps = plan(stack, template, parameters)
    live = stack.resource_map
    live._template, live._resource_json_map = template, template["Resources"]
    live.input_parameters = as_given(parameters)
    live.load()
    removed = [step for step in steps if step.kind == "Remove"]
    for _ in range(_MOST_PASSES):
        for step in steps:
            if step.kind == "Add":
                live[step.logical_id]
            elif step.kind == "Modify":
                _modify(live, step.logical_id)
        steps = [step for step in plan(stack, template, parameters) if step.kind != "Remove"]
        if not steps:
            break
    for step in removed:
        _remove(live, step.logical_id, old_templates[step.logical_id])
    stack.template, stack.template_dict = source, template
    stack.description, stack.parameters = template.get("Description", ""), live.input_parameters
    stack.output_map = stack._create_output_map()


def plan(stack: Stack, template: dict[str, Any], parameters: Mapping[str, Any]) -> list[Action]:
    """What has to happen for the stack to become this template with these parameters."""
    live = stack.resource_map
    made = {name: live._parsed_resources[name] for name in live._resource_json_map if name in live._parsed_resources}
    wanted = _preview(stack, template, parameters, made)
    return [*_additions_and_changes(live, wanted, made), *_removals(live, wanted, made)]


def _preview(stack: Stack, template: dict[str, Any], parameters: Mapping[str, Any], made: Mapping[str, Any]) -> Any:
    """A resource map of the template that resolves without making anything."""
    wanted = ResourceMap(
        stack.stack_id,
        stack.name,
        as_given(parameters),
        stack.tags,
        stack.region_name,
        stack.account_id,
        template,
        stack.cross_stack_resources,
    )
    wanted.load()
    for name in template["Resources"]:
        wanted._parsed_resources[name] = made.get(name) or _NotYetMade(name)
    return wanted


def as_given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as the text they were given as: moto resolves UsePreviousValue to the list."""
    return {name: ",".join(value) if isinstance(value, list) else value for name, value in parameters.items()}


def _present(resources: Any, name: str) -> bool:
    condition = resources._resource_json_map.get(name, {}).get("Condition")
    return name in resources._resource_json_map and (condition is None or resources.lazy_condition_map[condition])


def _additions_and_changes(live: Any, wanted: Any, made: Mapping[str, Any]) -> Iterator[Action]:
    for name, resource_json in wanted._resource_json_map.items():
        if not _present(wanted, name):
            continue
        if name not in made:
            yield Action("Add", name, resource_json["Type"])
        elif resolved(resource_json, wanted) != applied(live).get(name):
            yield Action("Modify", name, resource_json["Type"])


def _removals(live: Any, wanted: Any, made: Mapping[str, Any]) -> Iterator[Action]:
    for name in made:
        if not _present(wanted, name):
            yield Action("Remove", name, live._resource_json_map[name]["Type"])


def applied(resources_map: Any) -> dict[str, Any]:
    """The resolved properties with which each resource was last made or changed."""
    known: dict[str, Any] = resources_map.__dict__.setdefault("applied_properties", {})
    return known


def record(logical_id: str, resource_json: dict[str, Any], resources_map: Any) -> None:
    """Remember with which properties the resource was made or changed just now."""
    applied(resources_map)[logical_id] = resolved(resource_json, resources_map)


def resolved(resource_json: dict[str, Any], resources_map: Any) -> Any:
    """The resource's properties with every reference and function worked out."""
    return parsing.clean_json(resource_json.get("Properties", {}), resources_map)


def _modify(live: Any, name: str) -> None:
    resource_json = live._resource_json_map[name]
    kind = resource_json["Type"]
    update = parsing.resource_class_from_type(kind).update_from_cloudformation_json
    if getattr(update, "__isabstractmethod__", False):
        raise ValidationError(message=f"Updating {kind} ({name}) is not emulated; delete the stack and create it anew")
    changed = parsing.parse_and_update_resource(name, resource_json, live, live._account_id, live._region_name)
    live._parsed_resources[name] = changed


def _remove(live: Any, name: str, resource_json: dict[str, Any]) -> None:
    resource = live._parsed_resources.pop(name)
    applied(live).pop(name, None)
    if resource_json.get("DeletionPolicy") not in _KEEPING:
        live._delete_resource(resource, resource_json)
