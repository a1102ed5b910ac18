"""CloudFormation resource types that moto lacks, or creates in a form that the rest of moto does not see.

Each type creates its resource through the API of the account over loopback, so that clients see it. The properties are
those of https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/. Delete a type when moto's list
(`moto.cloudformation.parsing.get_model_map`) has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import boto3
from botocore.config import Config
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException, ValidationError
from moto.core.common_models import CloudFormationModel
from moto.settings import moto_server_port

from aws_setup.local.emulator.core.casing import request_from_parameters
from aws_setup.local.emulator.core.coercion import coerced
from aws_setup.local.emulator.core.constraints import validation_message, violations

Properties = Mapping[str, Any]
Clients = Callable[[str], Any]  # boto3 clients by the name of the service


class LoopbackResource(CloudFormationModel):
    """A resource that is created and deleted through the API of its service. Subclasses say how."""

    type_name: ClassVar[str] = "?"
    name_property: ClassVar[str] = ""
    attributes: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, physical_resource_id: str, **attributes: str) -> None:
        self.physical_resource_id = physical_resource_id
        self._attributes = attributes

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Create the resource with the name `name`."""
        raise NotImplementedError

    def remove(self, clients: Clients) -> None:
        """Delete the resource. Does nothing by default: a policy is deleted with its topic, queue or bucket."""

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """The value of Fn::GetAtt."""
        if attribute_name not in self._attributes:
            raise UnformattedGetAttTemplateException
        return self._attributes[attribute_name]

    def delete(self, account_id: str, region_name: str) -> None:  # noqa: ARG002
        """Called by moto's engine."""
        self.remove(clients(region_name))

    def is_created(self) -> bool:
        """Called by moto's engine."""
        return True

    @classmethod
    def cloudformation_type(cls) -> str:
        """Called by moto's engine."""
        return cls.type_name

    @classmethod
    def cloudformation_name_type(cls) -> str:
        """Called by moto's engine."""
        return cls.name_property

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Called by moto's engine."""
        return attr in cls.attributes

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,  # noqa: ARG003
        region_name: str,
        **_: Any,
    ) -> Self:
        """Called by moto's engine."""
        return cls.create(resource_name, cloudformation_json.get("Properties", {}), clients(region_name))


def clients(region_name: str) -> Clients:
    """Clients for the account itself, in this region."""
    session = boto3.session.Session("local", "local", region_name=region_name)
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    endpoint = f"http://127.0.0.1:{moto_server_port()}"
    make: Any = session.client
    return lambda service: make(service, endpoint_url=endpoint, config=config)


def _send(client: Any, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Call an operation, with numbers and booleans converted that the template holds as text.

    boto3 refuses missing members and wrong types. Raises ValidationError for what else the service's model does not
    allow, since moto accepts it.
    """
    model = client.meta.service_model.operation_model(operation)
    methods = {api: method for method, api in client.meta.method_to_api_mapping.items()}
    parameters = coerced(request, model.input_shape)
    found = list(violations(parameters, model.input_shape))
    if found:
        raise ValidationError(message=validation_message(found))
    response: dict[str, Any] = getattr(client, methods[operation])(**parameters)
    return response


class Subscription(LoopbackResource):
    """AWS::SNS::Subscription."""

    type_name = "AWS::SNS::Subscription"
    attributes = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:  # noqa: ARG003
        """Subscribe."""
        known = ("RawMessageDelivery", "FilterPolicy", "FilterPolicyScope", "RedrivePolicy")
        attributes = {key: _text(properties[key]) for key in known if key in properties}
        request = {key: properties[key] for key in ("TopicArn", "Protocol", "Endpoint")}
        subscription = {**request, "Attributes": attributes, "ReturnSubscriptionArn": True}
        arn = _send(clients("sns"), "Subscribe", subscription)["SubscriptionArn"]
        return cls(arn, Arn=arn)

    def remove(self, clients: Clients) -> None:
        """Unsubscribe."""
        clients("sns").unsubscribe(SubscriptionArn=self.physical_resource_id)


class TopicPolicy(LoopbackResource):
    """AWS::SNS::TopicPolicy."""

    type_name = "AWS::SNS::TopicPolicy"

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Set the policy of each topic."""
        policy = _text(properties["PolicyDocument"])
        for arn in properties["Topics"]:
            clients("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
        return cls(name)


class QueuePolicy(LoopbackResource):
    """AWS::SQS::QueuePolicy."""

    type_name = "AWS::SQS::QueuePolicy"

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Set the policy of each queue."""
        policy = _text(properties["PolicyDocument"])
        for url in properties["Queues"]:
            clients("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return cls(name)


class BucketPolicy(LoopbackResource):
    """AWS::S3::BucketPolicy."""

    type_name = "AWS::S3::BucketPolicy"

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Set the bucket's policy."""
        clients("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=_text(properties["PolicyDocument"]))
        return cls(name)


class Secret(LoopbackResource):
    """AWS::SecretsManager::Secret. Deleted without a recovery window, as CloudFormation does."""

    type_name = "AWS::SecretsManager::Secret"
    name_property = "Name"
    attributes = frozenset({"Id"})

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Create the secret. Raises ValidationError for GenerateSecretString."""
        if "SecretString" not in properties:
            raise ValidationError(message="A secret needs SecretString; GenerateSecretString is not emulated")
        known = ("SecretString", "Description", "KmsKeyId", "Tags")
        request = {key: properties[key] for key in known if key in properties}
        arn = _send(clients("secretsmanager"), "CreateSecret", {"Name": name, **request})["ARN"]
        return cls(arn, Id=arn)

    def remove(self, clients: Clients) -> None:
        """Delete the secret permanently."""
        clients("secretsmanager").delete_secret(SecretId=self.physical_resource_id, ForceDeleteWithoutRecovery=True)


class Schedule(LoopbackResource):
    """AWS::Scheduler::Schedule. It is stored and never fires."""

    type_name = "AWS::Scheduler::Schedule"
    name_property = "Name"
    attributes = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Create the schedule. The API has the same properties."""
        arn = _send(clients("scheduler"), "CreateSchedule", {**properties, "Name": name})["ScheduleArn"]
        return cls(name, Arn=arn, group=properties.get("GroupName", "default"))

    def remove(self, clients: Clients) -> None:
        """Delete the schedule."""
        clients("scheduler").delete_schedule(Name=self.physical_resource_id, GroupName=self._attributes["group"])


class Alarm(LoopbackResource):
    """AWS::CloudWatch::Alarm. It is stored, and its state never changes."""

    type_name = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"
    attributes = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Create the alarm. The API has the same properties."""
        client = clients("cloudwatch")
        _send(client, "PutMetricAlarm", {**properties, "AlarmName": name})
        return cls(name, Arn=client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["AlarmArn"])

    def remove(self, clients: Clients) -> None:
        """Delete the alarm."""
        clients("cloudwatch").delete_alarms(AlarmNames=[self.physical_resource_id])


class StateMachine(LoopbackResource):
    """AWS::StepFunctions::StateMachine. moto's own type uses the backend that executes nothing."""

    type_name = "AWS::StepFunctions::StateMachine"
    name_property = "StateMachineName"
    attributes = frozenset({"Arn", "Name", "StateMachineRevisionId"})
    _SETTINGS = ("RoleArn", "LoggingConfiguration", "TracingConfiguration", "EncryptionConfiguration")

    @classmethod
    def create(cls, name: str, properties: Properties, clients: Clients) -> Self:
        """Create the state machine. Raises ValidationError for any form of the definition but `Definition`."""
        if "Definition" not in properties:
            raise ValidationError(message="A state machine needs Definition; no other form is emulated")
        client = clients("stepfunctions")
        settings = {key: properties[key] for key in cls._SETTINGS if key in properties}
        model = client.meta.service_model.operation_model("CreateStateMachine")
        substitutions = {key: _text(value) for key, value in properties.get("DefinitionSubstitutions", {}).items()}
        request = {
            **request_from_parameters(settings, model.input_shape, check=False),
            "name": name,
            "definition": json.dumps(_substituted(properties["Definition"], substitutions)),
            "tags": [{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", [])],
        }
        arn = _send(client, "CreateStateMachine", request)["stateMachineArn"]
        return cls(arn, Arn=arn, Name=name, StateMachineRevisionId="INITIAL")

    def remove(self, clients: Clients) -> None:
        """Delete the state machine."""
        clients("stepfunctions").delete_state_machine(stateMachineArn=self.physical_resource_id)


def _substituted(value: Any, substitutions: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _substituted(member, substitutions) for key, member in value.items()}
    if isinstance(value, list):
        return [_substituted(member, substitutions) for member in value]
    if isinstance(value, str):
        for key, text in substitutions.items():
            value = value.replace("${" + key + "}", text)
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


TYPES: Mapping[str, type[LoopbackResource]] = {
    kind.type_name: kind
    for kind in (
        Alarm,
        BucketPolicy,
        QueuePolicy,
        Schedule,
        Secret,
        StateMachine,
        Subscription,
        TopicPolicy,
    )
}
