from __future__ import annotations

import json
import re
from typing import Any

import pytest

from aws_setup import template
from aws_setup.parameters import application_name
from ingest_assets.cron import trailing_months
from ingest_assets.stack import DEFAULT_STACK, StackOutputs

TEMPLATE = template.template()
STATE_MACHINE = TEMPLATE["Resources"]["StateMachine"]["Properties"]


def values(node: Any) -> list[Any]:
    """Every value below `node`, containers too."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [node, *(value for child in children for value in values(child))]


def test_the_short_forms_become_the_long_ones() -> None:
    assert TEMPLATE["Resources"]["Bucket"]["Properties"]["BucketName"] == {"Ref": "BucketName"}
    assert STATE_MACHINE["RoleArn"] == {"Fn::GetAtt": ["StateMachineRole", "Arn"]}
    assert TEMPLATE["Conditions"]["InSubnets"]["Fn::Not"][0]["Fn::Equals"][0] == {
        "Fn::Join": ["", {"Ref": "SubnetIds"}]
    }


def test_what_is_rendered_is_the_template_with_the_state_machine() -> None:
    assert json.loads(template.rendered()) == TEMPLATE
    assert STATE_MACHINE["Definition"] == template.state_machine()


def test_a_template_that_no_change_set_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "_MAXIMUM_BYTES", 1000)
    template.rendered.cache_clear()
    with pytest.raises(Exception, match=r"has \d+ bytes, a change set takes 1000"):
        template.rendered()
    template.rendered.cache_clear()


def test_nothing_is_null_since_cloudformation_takes_none() -> None:
    assert None not in values(TEMPLATE)


def test_the_outputs_are_those_that_the_code_reads() -> None:
    expected = {"".join(part.capitalize() for part in field.split("_")) for field in StackOutputs.__dataclass_fields__}
    assert expected <= TEMPLATE["Outputs"].keys()


def test_the_state_machine_uses_exactly_the_substitutions_that_it_is_given() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(template.state_machine())))
    assert used == STATE_MACHINE["DefinitionSubstitutions"].keys()


def test_every_parameter_says_what_it_is_for_and_is_used() -> None:
    body = json.dumps({part: TEMPLATE[part] for part in ("Conditions", "Resources")})
    for name, declared in TEMPLATE["Parameters"].items():
        assert declared["Description"], name
        assert f'{{"Ref": "{name}"}}' in body or f"${{{name}}}" in body, f"{name} is not used"


def test_the_default_of_trailing_months_is_that_of_the_default_schedule() -> None:
    parameters = TEMPLATE["Parameters"]
    assert parameters["TrailingMonths"]["Default"] == trailing_months(parameters["ScheduleExpression"]["Default"])


def test_the_schedule_sends_one_of_the_forms_of_the_input() -> None:
    text = TEMPLATE["Resources"]["Schedule"]["Properties"]["Target"]["Input"]["Fn::Sub"]
    assert json.loads(text.replace("${TrailingMonths}", "10")) == {
        "scheduled_time": "<aws.scheduler.scheduled-time>",
        "trailing_months": 10,
    }


def test_the_names_of_the_default_stack_are_those_of_the_seed() -> None:
    named = {
        match[1]
        for value in values(TEMPLATE["Resources"])
        if isinstance(value, str) and (match := re.fullmatch(r"([\w-]+)\$\{NameSuffix\}", value))
    }
    assert {
        "stepfunction_datapipeline",
        "StepFunctionDataPipelineNotification",
        "failurejob",
        "EMRServerlessStepFunction",
        "EMR-Step-Function",
        "POSTGRESQL",
        "AWSKEYS",
    } <= named
    assert application_name(DEFAULT_STACK) == "EMR-Step-Function"
    assert application_name("other") == "EMR-Step-Function-other"


def test_data_survives_the_stack() -> None:
    for name in ("Bucket", "DatabaseSecret", "AwsKeysSecret"):
        resource = TEMPLATE["Resources"][name]
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"
