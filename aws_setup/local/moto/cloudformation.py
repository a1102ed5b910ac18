"""What moto's CloudFormation engine does differently from AWS, put right.

Each function replaces or wraps one of moto 5.2.5 and says what it changes; drop it when moto's own does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudformation import models, parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Event, Stack, cloudformation_backends
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.exceptions import ServiceException
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from werkzeug.exceptions import HTTPException

from aws_setup.local.moto import (
    cloudformation_import,
    cloudformation_network,
    cloudformation_types,
    cloudformation_update,
)
from aws_setup.local.moto.patching import replace_attribute

TYPES = {**cloudformation_types.TYPES, **cloudformation_network.TYPES}

_Function = Callable[..., Any]
_NO_CHANGE = "The submitted information didn't contain changes. Submit different information to create a change set."
# What a resource type may raise: our own, moto's old and new errors, and properties of the wrong form.
_RESOURCE_ERRORS = (
    ClientError, BotoCoreError, HTTPException, ServiceException, LookupError, ValueError, TypeError, AttributeError,
)  # fmt: skip


def install(stack: ExitStack) -> None:
    """Put the changes in until `stack` closes."""
    theirs = vars(models)["yaml_tag_constructor"]
    replace_attribute(stack, models, "yaml_tag_constructor", _with_condition_tag(theirs))
    for owner, name, wrap in (
        (parsing, "resource_class_from_type", _with_our_types),
        (parsing, "resource_name_property_from_type", _with_our_names),
        (parsing, "clean_json", _without_no_value),
        (parsing, "parse_and_create_resource", cloudformation_import.adopting),
        (parsing, "parse_and_create_resource", _with_events("CREATE")),
        (parsing, "parse_and_update_resource", _with_events("UPDATE")),
        (ResourceMap, "delete", _keeping_retained),
        (CloudFormationBackend, "create_change_set", _checked_change_set),
        (CloudFormationBackend, "create_stack", _checked),
        (CloudFormationResponse, "_validate_different_update", _only_of_stacks),
        (CloudFormationBackend, "execute_change_set", _rolled_back_on_failure),
    ):
        replace_attribute(stack, owner, name, wrap(getattr(owner, name)))
    replace_attribute(stack, ChangeSet, "diff", cloudformation_import.diff)
    replace_attribute(stack, ChangeSet, "apply", cloudformation_import.apply)
    _refuse_drift_detection(stack)
    replace_attribute(stack, Stack, "parameter_list", property(_parameter_list))
    replace_attribute(stack, FakeBucket, "get_permission", _neutral)


def _neutral(self: FakeBucket, action: str, resource: str) -> PermissionResult:  # noqa: ARG001
    """No policy is enforced in this account; moto enforces a bucket's, without its conditions."""
    return PermissionResult.NEUTRAL


def _refuse_drift_detection(stack: ExitStack) -> None:
    """DetectStackDrift is refused in words; moto's server fails with a traceback."""

    def detect_stack_drift(_: CloudFormationResponse) -> None:
        raise ValidationError(message="The local account does not detect drift")

    CloudFormationResponse.detect_stack_drift = detect_stack_drift  # type: ignore[attr-defined]
    stack.callback(delattr, CloudFormationResponse, "detect_stack_drift")


def _with_condition_tag(constructor: _Function) -> _Function:
    """`!Condition Name` is `{"Condition": "Name"}`; moto makes `Fn::Condition` of it, which is never true."""

    def construct(loader: Any, tag: str, node: yaml.Node) -> Any:
        return {"Condition": node.value} if tag == "!Condition" else constructor(loader, tag, node)

    return construct


def _with_our_types(resource_class_from_type: _Function) -> _Function:
    """Our types come first."""
    return lambda resource_type: TYPES.get(resource_type) or resource_class_from_type(resource_type)


def _with_our_names(resource_name_property_from_type: _Function) -> _Function:
    """The property that names a resource, of our types too."""

    def name_property(resource_type: str) -> str | None:
        ours = TYPES.get(resource_type)
        name: str | None = ours.name_property if ours else resource_name_property_from_type(resource_type)
        return name

    return name_property


def _without_no_value(clean_json: _Function) -> _Function:
    """An element of a list that is AWS::NoValue is not there; moto leaves None in its place."""

    def clean(resource_json: Any, resources_map: Any) -> Any:
        cleaned = clean_json(resource_json, resources_map)
        return [value for value in cleaned if value is not None] if isinstance(resource_json, list) else cleaned

    return clean


def _checked(create: _Function) -> _Function:
    """A template with a null, or with a type that nothing emulates, is refused; moto leaves both out in silence."""

    def create_checked(self: CloudFormationBackend, *args: Any, **kwargs: Any) -> Any:
        template = kwargs["template"] if "template" in kwargs else args[1]
        _check(Stack.parse_template(template))
        return create(self, *args, **kwargs)

    return create_checked


def _checked_change_set(create: _Function) -> _Function:
    """As `_checked`; an update that changes nothing fails as on AWS, also when parameters are given another way."""

    def create_checked(self: CloudFormationBackend, *args: Any, **kwargs: Any) -> Any:
        made = _checked(create)(self, *args, **kwargs)
        change_set = self.change_sets[made[0]]
        if change_set.change_set_type == "UPDATE" and cloudformation_update.changes_nothing(change_set):
            change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
            change_set.status_reason = _NO_CHANGE
        return made

    return create_checked


def _only_of_stacks(validate: _Function) -> _Function:
    """CreateChangeSet is not refused when nothing changes (the change set is then FAILED); UpdateStack is."""

    def validate_update(self: CloudFormationResponse, *args: Any) -> None:
        if self._get_action() == "UpdateStack":
            validate(self, *args)

    return validate_update


def _check(template: dict[str, Any]) -> None:
    null = next(_nulls(template, ""), None)
    if null is not None:
        raise ValidationError(message=f"[{null}] 'null' values are not allowed in templates")
    known = TYPES.keys() | parsing.get_model_map().keys() | set(parsing.NULL_MODELS)
    types = {resource.get("Type", "") for resource in template.get("Resources", {}).values()}
    unknown = sorted(name for name in types - known if not name.startswith("Custom::"))
    if unknown:
        raise ValidationError(message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")


def _nulls(value: Any, path: str) -> Iterator[str]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        if member is None:
            yield f"{path}/{key}"
        yield from _nulls(member, f"{path}/{key}")


def _with_events(verb: str) -> Callable[[_Function], _Function]:
    """DependsOn is kept also in a change set, and every resource has its events."""

    def wrap(parse_and_make: _Function) -> _Function:
        def make(logical_id: str, resource_json: Any, resources_map: Any, account_id: str, region_name: str) -> Any:
            needed = resource_json.get("DependsOn", [])
            for dependency in [needed] if isinstance(needed, str) else needed:
                resources_map[dependency]
            stack = cloudformation_backends[account_id][region_name].stacks[resources_map.stack_id]
            try:
                resource = parse_and_make(logical_id, resource_json, resources_map, account_id, region_name)
            except _RESOURCE_ERRORS as error:
                _add_failure(stack, logical_id, resource_json, f"{verb}_FAILED", error)
                raise
            if resource is not None:
                cloudformation_update.record(logical_id, resource_json, resources_map)
                physical = getattr(resource, "physical_resource_id", "")
                if verb == "CREATE":
                    cloudformation_import.tag(stack, resource_json["Type"], physical)
                done = "IMPORT" if cloudformation_import.importing(resources_map) else verb
                _add_event(stack, logical_id, resource_json, f"{done}_COMPLETE", None, physical)
            return resource

        return make

    return wrap


def _rolled_back_on_failure(execute_change_set: _Function) -> _Function:
    """A failing change set is answered like any other; the stack then says ROLLBACK_COMPLETE, its events say why."""

    def execute(self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        change_set = self.describe_change_set(change_set_name)
        try:
            execute_change_set(self, change_set_name, stack_name)
        except _RESOURCE_ERRORS as error:
            _roll_back(change_set.stack, change_set.change_set_type, reason=_reason(error))  # type: ignore[union-attr]

    return execute


def _roll_back(stack: Stack, kind: str, *, reason: str) -> None:
    prefix = "" if kind == "CREATE" else f"{kind}_"
    stack._add_stack_event(f"{prefix}ROLLBACK_IN_PROGRESS", resource_status_reason=reason)
    try:
        _undo(stack, kind)
    except _RESOURCE_ERRORS as error:
        stack.status = f"{prefix}ROLLBACK_FAILED"
        stack._add_stack_event(stack.status, resource_status_reason=_reason(error))
    else:
        stack.status = f"{prefix}ROLLBACK_COMPLETE"
        stack._add_stack_event(stack.status)


def _undo(stack: Stack, kind: str) -> None:
    if kind == "IMPORT":
        stack.resource_map._parsed_resources.clear()  # they stay as they were, and are not the stack's
        return
    if kind == "UPDATE":
        cloudformation_update.apply_template(stack, stack.template, stack.template_dict, stack.parameters)
        return
    for resource in stack.resource_map._resource_json_map.values():
        resource.pop("DeletionPolicy", None)  # Retain does not hold for what a failed creation has made
    stack.resource_map.delete()


def _keeping_retained(delete: _Function) -> _Function:
    """RetainExceptOnCreate keeps a resource of a deleted stack as Retain does; moto knows Retain only."""

    def delete_others(self: ResourceMap) -> None:
        resources = self._resource_json_map
        self._resource_json_map = {
            name: resource | {"DeletionPolicy": "Retain"}
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate"
            else resource
            for name, resource in resources.items()
        }
        delete(self)

    return delete_others


def _add_failure(stack: Stack, logical_id: str, resource_json: Any, status: str, error: Any) -> None:
    """The event of the resource that failed; those that wait for it raise the same error on its way up."""
    if not hasattr(error, "failed_resource"):
        error.failed_resource = logical_id
        _add_event(stack, logical_id, resource_json, status, _reason(error))


def _add_event(
    stack: Stack, logical_id: str, resource_json: Any, status: str, reason: str | None, physical: str = ""
) -> None:
    kind = resource_json["Type"]
    event = Event(stack.stack_id, stack.name, logical_id, physical, kind, status, reason, resource_properties=None)
    stack.events.append(event)


def _reason(error: BaseException) -> str:
    return str(getattr(error, "message", "") or getattr(error, "description", "") or f"{type(error).__name__}: {error}")


def _parameter_list(self: Stack) -> list[dict[str, Any]]:
    """The parameters with their values as they were given, NoEcho ones hidden.

    moto compares values with names, shows them, and makes a list of the text of one.
    """
    hidden = self.resource_map.no_echo_parameter_keys
    return [
        {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
        for name, value in cloudformation_update.as_given(self.resource_map.resolved_parameters).items()
    ]
