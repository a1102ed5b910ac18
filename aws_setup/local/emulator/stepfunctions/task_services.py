"""Task services that moto's Step Functions lacks.

moto 5.2.5 calls `emr-serverless:*` once and ignores `.sync`, and it passes `aws-sdk:*` parameters unchanged to the API,
where AWS takes and returns PascalCase. Delete this module when moto has an `emr-serverless` task service with `.sync`
(absent from `state_task_service_factory.py` of 5.2.5, where it is among `_UNSUPPORTED_SERVICE_NAMES`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment

from aws_setup.local.emulator.core.casing import ParametersError, request_from_parameters, result_from_response
from aws_setup.local.emulator.core.patching import replace_attribute, replace_item
from aws_setup.local.emulator.core.roles import client_for

_SERVICE = "emr-serverless"
_POLL_SECONDS = 0.2
_RUNTIME_ERROR = StatesErrorNameType.StatesRuntime.to_name()
_TASK_FAILED = StatesErrorNameType.StatesTaskFailed.to_name()


@dataclass(frozen=True)
class _Api:
    """An API of the integration, and the states that its `.sync` waits for."""

    operation: str
    done: str
    failed: frozenset[str]
    of_job_run: bool = False


_ENDED = frozenset({"TERMINATED"})
# https://docs.aws.amazon.com/step-functions/latest/dg/connect-emr-serverless.html
_APIS = {
    "createApplication": _Api("CreateApplication", "CREATED", _ENDED),
    "startApplication": _Api("StartApplication", "STARTED", _ENDED | {"STOPPED"}),
    "stopApplication": _Api("StopApplication", "STOPPED", _ENDED),
    "deleteApplication": _Api("DeleteApplication", "TERMINATED", frozenset()),
    "startJobRun": _Api("StartJobRun", "SUCCESS", frozenset({"FAILED", "CANCELLED"}), of_job_run=True),
    "cancelJobRun": _Api("CancelJobRun", "CANCELLED", frozenset({"SUCCESS", "FAILED"}), of_job_run=True),
}


class _Interrupted(Exception):  # noqa: N818 (not an error: the execution was stopped or the task timed out)
    """The execution was stopped or the task timed out."""


class EmrServerlessTask(StateTaskServiceCallback):
    """`arn:aws:states:::emr-serverless:<api>`, with and without `.sync`."""

    def __init__(self) -> None:
        super().__init__(supported_integration_patterns={ResourceCondition(ResourceCondition.Sync)})

    def _validate_service_integration_is_supported(self) -> None:
        if self.resource.api_action not in _APIS or self.resource.condition not in (None, ResourceCondition.Sync):
            raise ValueError(
                f"The resource provided {self.resource.resource_arn} is not recognized. "
                "The value is not a valid resource ARN, or the resource is not available in this region."
            )

    @property
    def _api(self) -> _Api:
        return _APIS[self.resource.api_action]

    def _eval_service_task(
        self, env: Environment, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> None:
        client = client_for(resource_runtime_part.region, _SERVICE, state_credentials)
        result = call(client, self._api.operation, normalised_parameters)
        # The answers of StartApplication, StopApplication and DeleteApplication are empty.
        env.stack.append({"ApplicationId": normalised_parameters.get("ApplicationId")} | result)

    def _eval_integration_pattern(
        self,
        env: Environment,
        resource_runtime_part: Any,
        normalised_parameters: Any,  # noqa: ARG002
        state_credentials: Any,
    ) -> None:
        # The inherited loop also waits for a callback, and a second attempt of Retry would end as States.Timeout.
        submitted = env.stack.pop()
        client = client_for(resource_runtime_part.region, _SERVICE, state_credentials)
        api = self._api
        while True:
            if not env.is_running():
                self._undo(client, submitted)
                raise _Interrupted
            resource = _describe(client, api, submitted)
            if resource["State"] == api.done:
                break
            if resource["State"] in api.failed:
                raise FailureEventException(self._failure(env, _TASK_FAILED, json.dumps(resource)))
            time.sleep(_POLL_SECONDS)
        env.stack.append(resource)

    def _undo(self, client: Any, submitted: dict[str, Any]) -> None:
        """Cancel the job run, as Step Functions tries to."""
        if self._api.operation == "StartJobRun":
            try:
                call(client, "CancelJobRun", {name: submitted[name] for name in ("ApplicationId", "JobRunId")})
            except ClientError:
                return  # the job run has already ended

    def _evaluate_with_timeout(self, env: Environment) -> None:
        try:
            super()._evaluate_with_timeout(env)
        except _Interrupted:
            return  # the execution was stopped, so no later state is evaluated

    def _from_error(self, env: Environment, ex: Exception) -> FailureEvent:
        if isinstance(ex, ClientError):
            return self._failure(env, f"EMRServerless.{ex.response['Error']['Code']}", _service_cause(ex))
        if isinstance(ex, ParametersError):
            return self._failure(env, _RUNTIME_ERROR, f"The Parameters could not be used to start the Task: {ex}")
        return super()._from_error(env=env, ex=ex)

    def _failure(self, env: Environment, error: str, cause: str) -> FailureEvent:
        states_error = error.startswith("States.")
        details: Any = {  # moto's TypedDict requires all keys, but one is enough
            "taskFailedEventDetails": TaskFailedEventDetails(
                resource=self._get_sfn_resource(),
                resourceType=self._get_sfn_resource_type(),
                error=error,
                cause=cause,
            )
        }
        name = StatesErrorName.from_name(error) if states_error else CustomErrorName(error)
        return FailureEvent(env, name, HistoryEventType.TaskFailed, details)


class AwsSdkTask(StateTaskServiceAwsSdk):
    """`arn:aws:states:::aws-sdk:<service>:<api>` with parameters and results in PascalCase."""

    def _eval_service_task(
        self, env: Environment, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> None:
        client = client_for(resource_runtime_part.region, self._get_boto_service_name(), state_credentials)
        operation = client.meta.method_to_api_mapping[self._get_boto_service_action()]
        env.stack.append(call(client, operation, normalised_parameters))

    def _from_error(self, env: Environment, ex: Exception) -> FailureEvent:
        if isinstance(ex, ParametersError):
            cause = f"The Parameters could not be used to start the Task: {ex}"
            return self._get_task_failure_event(env, _RUNTIME_ERROR, cause)
        return super()._from_error(env=env, ex=ex)


def call(client: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Call the operation with a task's parameters. The result is in PascalCase. Raises ClientError, ParametersError."""
    model = client.meta.service_model.operation_model(operation)
    request = request_from_parameters(parameters, model.input_shape) if model.input_shape else {}
    methods = {api: method for method, api in client.meta.method_to_api_mapping.items()}
    response = getattr(client, methods[operation])(**request)
    response.pop("ResponseMetadata", None)
    result: dict[str, Any] = result_from_response(response, model.output_shape)
    return result


def _describe(client: Any, api: _Api, submitted: dict[str, Any]) -> dict[str, Any]:
    if api.of_job_run:
        parameters = {name: submitted[name] for name in ("ApplicationId", "JobRunId")}
        described = call(client, "GetJobRun", parameters)["JobRun"]
    else:
        described = call(client, "GetApplication", {"ApplicationId": submitted["ApplicationId"]})["Application"]
    result: dict[str, Any] = described
    return result


def _service_cause(error: ClientError) -> str:
    answer = error.response
    metadata = answer["ResponseMetadata"]
    return (
        f"{answer['Error']['Message']} (Service: EmrServerless, Status Code: {metadata['HTTPStatusCode']}, "
        f"Request ID: {metadata.get('RequestId', '')})"
    )


def _with_ours(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def state_task_service_for(service_name: str) -> Any:
        ours: dict[str, Callable[[], Any]] = {_SERVICE: EmrServerlessTask, "aws-sdk": AwsSdkTask}
        return ours[service_name]() if service_name in ours else theirs(service_name=service_name)

    return state_task_service_for


def install(stack: ExitStack) -> None:
    """Install the task services until `stack` closes."""
    theirs = vars(state_task_factory)["state_task_service_for"]
    replace_attribute(stack, state_task_factory, "state_task_service_for", _with_ours(theirs))
    # aws-sdk:emrserverless is emr-serverless in boto3, and its errors start with EmrServerless.
    replace_item(stack, StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES, "emrserverless", _SERVICE)
    replace_item(stack, state_task_service_aws_sdk._SERVICE_ERROR_NAMES, "emrserverless", "EmrServerless")
