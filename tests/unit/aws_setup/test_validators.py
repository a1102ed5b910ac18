"""What the validators of `make check` get to check, and that they find errors."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from aws_setup.cloudformation import template
from tests.validators import __main__ as validators
from tests.validators import variants

PROGRAMS = Path(__file__).parents[3] / ".local" / "validators" / "bin"
installed = pytest.mark.skipif(not PROGRAMS.exists(), reason="`make check` installs the validators")


def test_every_condition_is_true_in_one_variant_and_false_in_another() -> None:
    document = template.annotated()
    found = [variants.conditions(document, given) for given in variants.VARIANTS.values()]
    assert {name: {held[name] for held in found} for name in found[0]} == {name: {True, False} for name in found[0]}


def test_a_variant_has_no_conditions_left_and_every_resource_of_the_template_is_in_one() -> None:
    made = [variants.variant(name) for name in variants.VARIANTS]
    assert not any("Fn::If" in str(one) or "AWS::NoValue" in str(one) for one in made)
    assert {name for one in made for name in one["Resources"]} == template.template()["Resources"].keys()


def test_every_policy_of_the_template_is_checked_with_its_names_filled_in() -> None:
    given = variants.VARIANTS["everything"]
    found = variants.policies(variants.variant("everything"), given)
    assert {name.partition(".")[0] for name in found} == {
        "AlarmTopicPolicy", "BucketPolicy", "DagsterHostPolicy", "DeadLetterQueuePolicy", "FailureTopicPolicy",
        "JobRole", "QueuePolicy", "SchedulerRole", "StateMachineRole",
    }  # fmt: skip
    assert "Ref" not in str(found)
    assert "${" not in str(found)


@installed
def test_checkov_finds_a_public_bucket() -> None:
    good, public = variants.variant("defaults"), variants.variant("defaults")
    public["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] = False
    outcome = validators.checkov(PROGRAMS, {"good": good, "public": public})
    assert outcome.unexplained == 1
    assert "FAILED CKV_AWS_54 Bucket" in outcome.lines[-1]


@installed
def test_parliament_finds_an_unknown_action_and_an_explanation_that_is_stale() -> None:
    policies = {
        f"everything/{name}": policy
        for name in variants.VARIANTS
        for name, policy in variants.policies(variants.variant(name), variants.VARIANTS[name]).items()
    }
    assert validators.parliament(PROGRAMS, policies).unexplained == 0
    broken = copy.deepcopy(policies["everything/SchedulerRole.0"])
    broken["Statement"][0]["Action"] = "states:StartExekution"
    outcome = validators.parliament(PROGRAMS, {"everything/SchedulerRole.0": broken})
    assert "  FOUND SchedulerRole UNKNOWN_ACTION Unknown action states:StartExekution" in outcome.lines
    assert sum(line.startswith("  no longer found") for line in outcome.lines) == len(validators.EXPLAINED)
