"""Corrects where executions in moto's Step Functions differ from AWS.

Each function replaces or wraps a function of moto 5.2.5 and says what it changes. Delete it when moto does the same.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.events.models import events_backends
from moto.stepfunctions.parser.api import InvalidDefinition
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations.is_operator import (
    IsTimestamp,
)
from moto.stepfunctions.parser.asl.component.state.fail import state_fail
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramRunning, ProgramStopped
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends
from moto.stepfunctions.responses import StepFunctionResponse

from aws_setup.local.emulator.core.patching import replace_attribute

_Method = Callable[..., Any]
_NEVER_CAUGHT = frozenset({"States.Runtime", "States.DataLimitExceeded"})
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def install(stack: ExitStack) -> None:
    """Install the corrections until `stack` closes."""
    # A Fail state may use the name of an error that it received, such as States.Timeout.
    replace_attribute(stack, state_fail, "CustomErrorName", ErrorName)
    replace_attribute(stack, IsTimestamp, "string_to_timestamp", staticmethod(_timestamp))
    for owner, name, wrap in (
        (Environment, "set_error", _only_while_running),
        (ErrorEqualsDecl, "_eval_body", _without_runtime_errors),
        (BaseExecutionWorkerCommunication, "terminated", _complete_and_announced),
        (Execution, "start", _announced),
        (StepFunctionsParserBackend, "_validate_definition", _with_error_code),
        (StepFunctionsParserBackend, "start_execution", _named),
        (StepFunctionResponse, "stop_execution", _with_error_and_cause),
        (StepFunctionResponse, "describe_execution", _with_stop_date),
        (StepFunctionResponse, "list_executions", _with_stop_dates),
        (StepFunctionResponse, "get_execution_history", _paged),
    ):
        replace_attribute(stack, owner, name, wrap(getattr(owner, name)))


def _without_runtime_errors(evaluate: _Method) -> _Method:
    """States.ALL does not match States.Runtime and States.DataLimitExceeded.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """

    def evaluate_error_equals(self: ErrorEqualsDecl, env: Environment) -> None:
        error = env.stack[-1]
        evaluate(self, env)
        named = any(name == error for name in self.error_names)
        if isinstance(error, ErrorName) and error.error_name in _NEVER_CAUGHT and not named:
            env.stack[-1] = False

    return evaluate_error_equals


def _timestamp(text: str) -> datetime | None:
    """IsTimestamp accepts all of RFC 3339; moto accepts neither fractions of a second nor offsets."""
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def stop_all(seconds: float) -> None:
    """Stop every running execution, and wait at most `seconds` until they have ended."""
    running = [execution for execution in _executions() if execution.status == "RUNNING"]
    deadline = time.monotonic() + seconds
    for execution in running:
        _stop(execution, None, None)
    while any(execution.status == "RUNNING" for execution in running) and time.monotonic() < deadline:
        time.sleep(0.05)


def _executions() -> Iterator[Any]:
    for account in stepfunctions_parser_backends.values():
        for backend in account.values():
            for state_machine in list(backend.state_machines):
                yield from list(state_machine.executions)


def _stop(execution: Any, error: str | None, cause: str | None) -> None:
    deadline = time.monotonic() + 5
    while execution.exec_worker.env is None and time.monotonic() < deadline:
        time.sleep(0.01)  # its thread has not reached the first state
    if execution.exec_worker.env is not None:
        execution.stop(stop_date=datetime.now(UTC), error=error, cause=cause)


def _only_while_running(set_error: _Method) -> _Method:
    """An error that a state raises after the execution was stopped or timed out does not make the execution FAILED."""

    def set_error_while_running(self: Environment, error: Any) -> None:
        if self._program_state is None or isinstance(self._program_state, ProgramRunning):
            set_error(self, error)

    return set_error_while_running


def _complete_and_announced(terminated: _Method) -> _Method:
    """A stopped execution has its error and cause, and each end of an execution is an event on the default bus."""

    def terminated_and_announced(self: BaseExecutionWorkerCommunication) -> None:
        execution: Any = self.execution
        ended = execution.exec_worker.env.program_state()
        if isinstance(ended, ProgramStopped):
            execution.error, execution.cause = ended.error or None, ended.cause or None
        terminated(self)
        _announce(execution)

    return terminated_and_announced


def _announced(start: _Method) -> _Method:
    """Each start of an execution is an event on the default bus."""

    def start_announced(self: Execution) -> None:
        _announce(self, "RUNNING")
        start(self)

    return start_announced


class _InvalidDefinitionError(AWSError):
    TYPE = "InvalidDefinition"


def _with_error_code(validate: _Method) -> staticmethod[..., None]:
    """A refused definition gets AWS's error code; moto answers without a code and with the whole definition."""

    def validate_definition(definition: str) -> None:
        try:
            validate(definition)
        except InvalidDefinition as error:
            reason = error.message.partition(" in definition ")[0]
            raise _InvalidDefinitionError(f"Invalid State Machine Definition: '{reason}'") from error

    return staticmethod(validate_definition)


def _named(start_execution: _Method) -> _Method:
    """An execution without a name gets one, and names are validated."""

    def start_named_execution(
        self: StepFunctionsParserBackend, state_machine_arn: str, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        if name is not None:
            self._validate_name(name)
        return start_execution(self, state_machine_arn, name or str(uuid.uuid4()), *args, **kwargs)

    return start_named_execution


def _with_error_and_cause(_: _Method) -> _Method:
    """StopExecution passes on error and cause; moto drops them."""

    def stop_execution(self: StepFunctionResponse) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        _stop(execution, self._get_param("error"), self._get_param("cause"))
        return ActionResult({"stopDate": execution.stop_date or datetime.now(UTC)})

    return stop_execution


def _with_stop_date(describe_execution: _Method) -> _Method:
    """A timed-out execution has a stop date, and an output that is a string is encoded as JSON."""

    def describe_with_stop_date(self: StepFunctionResponse) -> ActionResult:
        described: Any = describe_execution(self)
        execution: Any = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        _add_stop_date(described.result, execution)
        if execution.status == "SUCCEEDED":
            described.result["output"] = to_json_str(execution.output, separators=(",", ":"))
        return ActionResult(described.result)

    return describe_with_stop_date


def _with_stop_dates(list_executions: _Method) -> _Method:
    """As `_with_stop_date`, for ListExecutions."""

    def list_with_stop_dates(self: StepFunctionResponse) -> ActionResult:
        listed: Any = list_executions(self)
        for entry in listed.result["executions"]:
            _add_stop_date(entry, self.stepfunction_backend.describe_execution(entry["executionArn"]))
        return ActionResult(listed.result)

    return list_with_stop_dates


def _add_stop_date(description: Any, execution: Any) -> None:
    if execution.stop_date is not None:
        description["stopDate"] = execution.stop_date


def _paged(get_execution_history: _Method) -> _Method:
    """GetExecutionHistory respects maxResults, nextToken and reverseOrder."""

    def get_page(self: StepFunctionResponse) -> ActionResult:
        result: Any = get_execution_history(self)
        events = list(result.result["events"])
        if self._get_bool_param("reverseOrder", False):
            events.reverse()
        start = int(self._get_param("nextToken") or 0)
        end = start + (self._get_int_param("maxResults", 0) or 100)
        page = {"events": events[start:end]}
        return ActionResult(page | ({"nextToken": str(end)} if end < len(events) else {}))

    return get_page


def _announce(execution: Any, status: str | None = None) -> None:
    """Send the event of this change of status to the default bus.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    detail = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": status or execution.status,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": None if status else _milliseconds(execution.stop_date),
        "input": execution.execution_input,
        "output": json.dumps(execution.output) if execution.output is not None else None,
        "error": execution.error,
        "cause": execution.cause,
    }
    event = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Resources": [execution.exec_arn],
        "Detail": json.dumps(detail),
    }
    events_backends[execution.account_id][execution.region_name].put_events([event])


def _milliseconds(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp() * 1000)
