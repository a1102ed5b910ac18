"""Corrects where moto's CloudFormation engine differs from AWS, for stacks that are created once.

The local account creates its stack again at each start. So change sets can create a stack, and a stack can be deleted.
Change sets that update a stack or import into it are refused, because the emulator cannot know what AWS would answer.

Each function replaces or wraps a function of moto 5.2.5 and says what it changes. Delete it when moto does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudformation import models, parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import (
    Change,
    ChangeSet,
    CloudFormationBackend,
    Event,
    Stack,
    cloudformation_backends,
)
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.exceptions import ServiceException
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from werkzeug.exceptions import HTTPException

from aws_setup.local.emulator.cloudformation import network, resource_types
from aws_setup.local.emulator.cloudformation.resource_types import Secret, clients
from aws_setup.local.emulator.core.patching import replace_attribute

TYPES = {**resource_types.TYPES, **network.TYPES}

_Function = Callable[..., Any]
_RETAINING = ("Retain", "RetainExceptOnCreate")
_BUCKET = "AWS::S3::Bucket"
_CREATES_ONLY = (
    "The local account creates its stack at each start and cannot {kind} one: stop the account and start it again"
)
# The errors of a resource type: ours, both kinds of moto, and those that wrong properties cause.
_RESOURCE_ERRORS = (
    ClientError, BotoCoreError, HTTPException, ServiceException, LookupError, ValueError, TypeError, AttributeError,
)  # fmt: skip


def install(stack: ExitStack) -> None:
    """Install the corrections until `stack` closes."""
    theirs = vars(models)["yaml_tag_constructor"]
    replace_attribute(stack, models, "yaml_tag_constructor", _with_condition_tag(theirs))
    for owner, name, wrap in (
        (parsing, "resource_class_from_type", _with_our_types),
        (parsing, "resource_name_property_from_type", _with_our_names),
        (parsing, "clean_json", _without_no_value),
        (parsing, "parse_and_create_resource", _with_events),
        (ResourceMap, "delete", _retain_except_on_create),
        (CloudFormationBackend, "create_change_set", _creating_only),
        (CloudFormationBackend, "create_stack", _checked),
        (CloudFormationBackend, "execute_change_set", _with_creation_failures),
        (CloudFormationBackend, "delete_stack", _failed_stacks_stay),
        (Stack, "delete", _with_deletion_failures),
    ):
        replace_attribute(stack, owner, name, wrap(getattr(owner, name)))
    replace_attribute(stack, ChangeSet, "diff", _additions)
    replace_attribute(stack, ChangeSet, "apply", _create)
    replace_attribute(stack, CloudFormationResponse, "update_stack", _refuse_update)
    _refuse_drift_detection(stack)
    replace_attribute(stack, Stack, "parameter_list", property(_parameter_list))
    replace_attribute(stack, FakeBucket, "get_permission", _neutral)


def _neutral(self: FakeBucket, action: str, resource: str) -> PermissionResult:  # noqa: ARG001
    """No policy is enforced in this account; moto enforces bucket policies but ignores their conditions."""
    return PermissionResult.NEUTRAL


def _refuse_drift_detection(stack: ExitStack) -> None:
    """DetectStackDrift is refused with a message; moto's server fails with a traceback."""

    def detect_stack_drift(_: CloudFormationResponse) -> None:
        raise ValidationError(message="The local account does not detect drift")

    CloudFormationResponse.detect_stack_drift = detect_stack_drift  # type: ignore[attr-defined]
    stack.callback(delattr, CloudFormationResponse, "detect_stack_drift")


def _with_condition_tag(constructor: _Function) -> _Function:
    """`!Condition Name` is `{"Condition": "Name"}`; moto turns it into `Fn::Condition`, which is never true."""

    def construct(loader: Any, tag: str, node: yaml.Node) -> Any:
        return {"Condition": node.value} if tag == "!Condition" else constructor(loader, tag, node)

    return construct


def _with_our_types(resource_class_from_type: _Function) -> _Function:
    """Our types replace moto's."""
    return lambda resource_type: TYPES.get(resource_type) or resource_class_from_type(resource_type)


def _with_our_names(resource_name_property_from_type: _Function) -> _Function:
    """The property that names a resource, also for our types."""

    def name_property(resource_type: str) -> str | None:
        ours = TYPES.get(resource_type)
        name: str | None = ours.name_property if ours else resource_name_property_from_type(resource_type)
        return name

    return name_property


def _without_no_value(clean_json: _Function) -> _Function:
    """AWS::NoValue removes an element from a list; moto leaves None in its place."""

    def clean(resource_json: Any, resources_map: Any) -> Any:
        cleaned = clean_json(resource_json, resources_map)
        return [value for value in cleaned if value is not None] if isinstance(resource_json, list) else cleaned

    return clean


def _checked(create: _Function) -> _Function:
    """A template with a null, or with a type that nothing emulates, is refused; moto silently ignores both."""

    def create_checked(self: CloudFormationBackend, *args: Any, **kwargs: Any) -> Any:
        template = kwargs["template"] if "template" in kwargs else args[1]
        _check(Stack.parse_template(template))
        return create(self, *args, **kwargs)

    return create_checked


def _creating_only(create: _Function) -> _Function:
    """A change set can only create a stack, from a `_checked` template; moto's updates differ from AWS's."""

    def create_checked(self: CloudFormationBackend, *args: Any, **kwargs: Any) -> Any:
        kind = kwargs["change_set_type"]
        if kind != "CREATE":
            raise ValidationError(message=_CREATES_ONLY.format(kind=kind))
        return _checked(create)(self, *args, **kwargs)

    return create_checked


def _refuse_update(_: CloudFormationResponse) -> None:
    """UpdateStack is refused, as a change set for an update is."""
    raise ValidationError(message=_CREATES_ONLY.format(kind="UPDATE"))


def _additions(self: ChangeSet) -> list[Change]:
    """The resources of the new stack; moto also lists those whose condition is false."""
    stack = self.stack
    parameters = _as_given(self.parameters)
    wanted = ResourceMap(
        stack.stack_id,
        stack.name,
        parameters,
        stack.tags,
        stack.region_name,
        stack.account_id,
        self.template_dict,
        stack.cross_stack_resources,
    )
    wanted.load()
    return [Change("Add", name, self.template_dict["Resources"][name]["Type"]) for name in _present(wanted)]


def _create(self: ChangeSet) -> None:
    """Create the resources, and then the outputs, which moto leaves out after a change set."""
    stack, template = self.stack, self.template_dict
    stack.template, stack.template_dict = self.template, template
    stack.description = template.get("Description", "")
    stack.parameters = _as_given(self.parameters)
    stack.resource_map = stack._create_resource_map()
    for name in _present(stack.resource_map):
        stack.resource_map[name]
    stack.output_map = stack._create_output_map()


def _present(resources: Any) -> list[str]:
    """The resources whose condition is true."""
    conditions = resources.lazy_condition_map
    declared = resources._resource_json_map
    return [name for name, about in declared.items() if "Condition" not in about or conditions[about["Condition"]]]


def _as_given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with each list as the text that was given."""
    return {name: ",".join(value) if isinstance(value, list) else value for name, value in parameters.items()}


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


def _with_events(parse_and_create: _Function) -> _Function:
    """DependsOn works in change sets, each resource has events, and buckets and secrets have the stack's tags."""

    def make(logical_id: str, resource_json: Any, resources_map: Any, account_id: str, region_name: str) -> Any:
        needed = resource_json.get("DependsOn", [])
        for dependency in [needed] if isinstance(needed, str) else needed:
            resources_map[dependency]
        stack = cloudformation_backends[account_id][region_name].stacks[resources_map.stack_id]
        try:
            resource = parse_and_create(logical_id, resource_json, resources_map, account_id, region_name)
        except _RESOURCE_ERRORS as error:
            _add_failure(stack, logical_id, resource_json, "CREATE_FAILED", error)
            raise
        if resource is not None:
            physical = getattr(resource, "physical_resource_id", "")
            _tag(stack, resource_json["Type"], physical)
            _set_versioning(stack, resource_json, physical)
            _add_event(stack, logical_id, resource_json, "CREATE_COMPLETE", None, physical)
        return resource

    return make


def _tag(stack: Stack, kind: str, physical_id: str) -> None:
    """Give a bucket or secret the tags of its stack, as CloudFormation does and moto does not."""
    tags = [{"Key": key, "Value": value} for key, value in stack.tags.items()]
    if not tags:
        return
    if kind == _BUCKET:
        clients(stack.region_name)("s3").put_bucket_tagging(Bucket=physical_id, Tagging={"TagSet": tags})
    elif kind == Secret.type_name:
        clients(stack.region_name)("secretsmanager").tag_resource(SecretId=physical_id, Tags=tags)


def _set_versioning(stack: Stack, resource_json: Any, physical_id: str) -> None:
    """Give a bucket its VersioningConfiguration, which moto 5.2.5 leaves out."""
    versioning = resource_json.get("Properties", {}).get("VersioningConfiguration")
    if resource_json["Type"] == _BUCKET and versioning:
        s3 = clients(stack.region_name)("s3")
        s3.put_bucket_versioning(Bucket=physical_id, VersioningConfiguration=versioning)


def _with_creation_failures(execute_change_set: _Function) -> _Function:
    """A failing creation gets a normal answer, and the events say why; moto fails with a traceback.

    The stack stays CREATE_FAILED, as on AWS with DisableRollback. There is no rollback: after fixing the reason, the
    user starts the account again.
    """

    def execute(self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
        change_set: Any = self.describe_change_set(change_set_name)
        try:
            execute_change_set(self, change_set_name, stack_name)
        except _RESOURCE_ERRORS as error:
            _end_badly(change_set.stack, "CREATE_FAILED", error)

    return execute


def _with_deletion_failures(delete: _Function) -> _Function:
    """A resource that cannot be deleted makes the stack DELETE_FAILED, and the events say why."""

    def delete_stack(self: Stack) -> None:
        try:
            delete(self)
        except _RESOURCE_ERRORS as error:
            declared = self.resource_map._resource_json_map
            for name in self.resource_map._parsed_resources.keys() & declared.keys():
                if declared[name].get("DeletionPolicy") not in _RETAINING:
                    _add_event(self, name, declared[name], "DELETE_FAILED", _reason(error))
            _end_badly(self, "DELETE_FAILED", error)

    return delete_stack


def _failed_stacks_stay(delete_stack: _Function) -> _Function:
    """A DELETE_FAILED stack can still be found by its name; moto has already removed it."""

    def delete(self: CloudFormationBackend, name_or_stack_id: str) -> None:
        delete_stack(self, name_or_stack_id)
        failed = [key for key, stack in self.deleted_stacks.items() if stack.status == "DELETE_FAILED"]
        for key in failed:
            self.stacks[key] = self.deleted_stacks.pop(key)

    return delete


def _end_badly(stack: Stack, status: str, error: BaseException) -> None:
    stack.status = status
    stack._add_stack_event(status, resource_status_reason=_reason(error))


def _retain_except_on_create(delete: _Function) -> _Function:
    """RetainExceptOnCreate retains a resource of a deleted stack, as Retain does; moto only knows Retain."""

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
    """Add the event of the resource that failed, once: resources that depend on it raise the same error."""
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
    """The parameters with the given values, NoEcho ones hidden.

    moto does not hide them, and turns the text of a list into a list.
    """
    hidden = self.resource_map.no_echo_parameter_keys
    return [
        {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
        for name, value in _as_given(self.resource_map.resolved_parameters).items()
    ]
