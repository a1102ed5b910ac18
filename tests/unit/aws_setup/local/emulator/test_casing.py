"""Parameters and results of Step Functions tasks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest

from aws_setup.local.emulator.core.casing import ParametersError, request_from_parameters, result_from_response
from aws_setup.local.emulator.core.coercion import coerced

START: dict[str, Any] = {
    "ApplicationId": "app",
    "ExecutionRoleArn": "arn",
    "ExecutionTimeoutMinutes": 60,
    "JobDriver": {"SparkSubmit": {"EntryPoint": "s3://b/x.py", "EntryPointArguments": ["a"]}},
    "ConfigurationOverrides": {"MonitoringConfiguration": {"S3MonitoringConfiguration": {"LogUri": "s3://b/"}}},
    "Tags": {"Some-Key": "v"},
}


def operation(name: str) -> Any:
    return botocore.session.get_session().get_service_model("emr-serverless").operation_model(name)


def test_parameters_become_the_request_all_the_way_down() -> None:
    assert request_from_parameters(START, operation("StartJobRun").input_shape) == {
        "applicationId": "app",
        "executionRoleArn": "arn",
        "executionTimeoutMinutes": 60,
        "jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/x.py", "entryPointArguments": ["a"]}},
        "configurationOverrides": {"monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://b/"}}},
        "tags": {"Some-Key": "v"},
    }


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"applicationId": "x"}, "The field 'applicationId' is not supported by Step Functions"),
        ({"ExecutionTimeoutMinutes": "60"}, "The value for the field 'ExecutionTimeoutMinutes' must be a LONG"),
        ({"JobDriver": "x"}, "The value for the field 'JobDriver' must be a STRUCTURE"),
        ({"JobDriver": {"SparkSubmit": {}}}, "The field 'EntryPoint' is required but was missing"),
        (
            {"JobDriver": {"SparkSubmit": {"EntryPoint": "x", "EntryPointArguments": [1]}}},
            "The value for the field 'EntryPointArguments' must be a STRING",
        ),
    ],
)
def test_every_wrong_field_is_named(changed: dict[str, Any], error: str) -> None:
    with pytest.raises(ParametersError) as raised:
        request_from_parameters({**START, **changed}, operation("StartJobRun").input_shape)

    assert raised.value.errors == [error]


def test_a_result_is_in_pascal_case_and_its_times_are_text() -> None:
    response = {
        "jobRun": {
            "state": "SUCCESS",
            "createdAt": datetime(2026, 3, 1, tzinfo=UTC),
            "tags": {"some-key": "v"},
            "totalResourceUtilization": {"vCPUHour": 0.5},
        }
    }

    assert result_from_response(response, operation("GetJobRun").output_shape) == {
        "JobRun": {
            "State": "SUCCESS",
            "CreatedAt": "2026-03-01T00:00:00.000Z",
            "Tags": {"some-key": "v"},
            "TotalResourceUtilization": {"VCPUHour": 0.5},
        }
    }


def test_text_in_a_template_becomes_the_types_of_the_api() -> None:
    given = {
        "autoStopConfiguration": {"enabled": "true", "idleTimeoutMinutes": "5"},
        "name": 7,
        "tags": {"a": True},
        "type": "SPARK",
    }

    assert coerced(given, operation("CreateApplication").input_shape) == {
        "autoStopConfiguration": {"enabled": True, "idleTimeoutMinutes": 5},
        "name": "7",
        "tags": {"a": "true"},
        "type": "SPARK",
    }
