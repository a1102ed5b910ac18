"""Lengths, ranges, patterns and enums of a service model, in AWS's words."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from aws_setup.local.emulator.core.constraints import validation_message, violations

GOOD = {"releaseLabel": "emr-7.14.0", "type": "SPARK", "clientToken": "token"}


def found(**request: Any) -> list[str]:
    model = botocore.session.get_session().get_service_model("emr-serverless")
    shape = model.shape_for("CreateApplicationRequest")
    return list(violations({**GOOD, **request}, shape))


def test_a_good_request_has_none() -> None:
    assert found(name="my-app_1/x#y", tags={"of": "mine"}) == []


@pytest.mark.parametrize(
    ("request_part", "violation"),
    [
        ({"name": "my app"}, "Value 'my app' at 'name' failed to satisfy constraint: Member must satisfy regular"),
        ({"name": "a" * 65}, "Member must have length less than or equal to 64"),
        ({"architecture": "MIPS"}, "Member must satisfy enum value set: [ARM64, X86_64]"),
        (
            {"networkConfiguration": {"subnetIds": ["subnet-1", " "]}},
            "at 'networkConfiguration.subnetIds.2.member' failed",
        ),
        (
            {"autoStopConfiguration": {"idleTimeoutMinutes": 10081}},
            "Member must have value less than or equal to 10080",
        ),
        ({"autoStopConfiguration": {"idleTimeoutMinutes": 0}}, "Member must have value greater than or equal to 1"),
    ],
)
def test_each_violation_names_its_member(request_part: dict[str, Any], violation: str) -> None:
    assert any(violation in line for line in found(**request_part))


def test_the_message_counts_them() -> None:
    assert validation_message(["a"]) == "1 validation error detected: a"
    assert validation_message(["a", "b"]) == "2 validation errors detected: a; b"
