"""What deploy asks of CloudFormation, against AWS's documented answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.stub import ANY

from aws_setup.cloudformation import template
from aws_setup.commands import preflight
from aws_setup.commands.deploy import DeployRequest, deploy, dry_run
from aws_setup.errors import DeployError, UsageError
from ingest_assets.aws.schedule_expression import CronError
from ingest_assets.aws.stack import StackOutputs
from tests.unit.aws_setup.answers import (
    DELETED,
    EXECUTED,
    MADE,
    OUTPUTS,
    STACK,
    change_set,
    events,
    idle,
    known,
    missing,
    nothing_retained,
    script,
    stack_is,
    uploads,
)
from tests.unit.aws_setup.conftest import Run
from tests.unit.aws_setup.fakes import FakeSession

NO_CHANGE = "The submitted information didn't contain changes. Submit different information to create a change set."


def test_a_stack_is_created_only_after_the_user_agrees(session: FakeSession, driver: Path) -> None:
    known(session)
    missing(session)
    nothing_retained(session)
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    request = DeployRequest(STACK, {"BucketName": "lake"}, driver, ignore=preflight.CHECKS)
    with pytest.raises(DeployError, match="nothing was deployed"):
        deploy(session.typed, request, print, refuse)
    session.assert_all_called()  # nothing was changed: a call that is not expected fails
    assert asked == [f"There is no stack {STACK} in account 123456789012, region us-east-1. Create it?"]


def test_the_first_deployment_creates_the_stack_and_then_uploads(session: FakeSession, run: Run) -> None:
    missing(session)
    nothing_retained(session)
    begun = ("CREATE_IN_PROGRESS", STACK, "User Initiated")
    script(
        session,
        MADE,
        change_set("CREATE_IN_PROGRESS"),
        change_set("CREATE_COMPLETE"),
        change_set("CREATE_COMPLETE", changes=("Bucket",)),
        events(),
        EXECUTED,
        stack_is("CREATE_IN_PROGRESS", outputs={}),
        events(begun, ("CREATE_COMPLETE", "Bucket", "")),
        stack_is("CREATE_COMPLETE"),
        events(begun, ("CREATE_COMPLETE", "Bucket", ""), ("CREATE_COMPLETE", STACK, "")),
        stack_is("CREATE_COMPLETE"),
    )
    uploads(session)
    lines = run(BucketName="lake")
    assert "CREATE_COMPLETE Bucket (AWS::Some::Type)" in lines
    assert lines[-2] == "uploaded s3://lake/config/tables.json"
    assert "AWSServiceRoleForAmazonEMRServerless" in lines[-1]


def test_the_first_change_set_has_all_parameters_and_may_create_roles(
    session: FakeSession, run: Run, parameters: dict[str, str]
) -> None:
    missing(session)
    nothing_retained(session)
    expected = {
        "StackName": "other",
        "ChangeSetName": ANY,
        "ChangeSetType": "CREATE",
        "TemplateBody": template.rendered(),
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": [{"Key": "project", "Value": "data-lake-ingestion"}, {"Key": "stack", "Value": "other"}],
        "Parameters": [
            {"ParameterKey": "BucketName", "ParameterValue": "lake"},
            {"ParameterKey": "ScheduleExpression", "ParameterValue": "cron(0 2 1 * ? *)"},
            {"ParameterKey": "NameSuffix", "ParameterValue": "-other"},
            {"ParameterKey": "ScriptPrefix", "ParameterValue": parameters["ScriptPrefix"]},
            {"ParameterKey": "DriverKey", "ParameterValue": parameters["DriverKey"]},
        ],
    }
    session.script("cloudformation").add_response("create_change_set", MADE[1], expected)
    script(session, change_set("FAILED", "enough"), DELETED)
    with pytest.raises(DeployError, match="refuses to change stack other: enough"):
        run(stack="other", BucketName="lake", ScheduleExpression="cron(0 2 1 * ? *)")


def test_an_update_uploads_before_it_changes_the_stack_and_leaves_the_other_parameters(
    session: FakeSession, run: Run, parameters: dict[str, str]
) -> None:
    older = parameters | {"ScriptPrefix": "script/0"}
    begun, done = ("UPDATE_IN_PROGRESS", STACK, "User Initiated"), ("UPDATE_COMPLETE", STACK, "")
    script(
        session,
        stack_is("UPDATE_COMPLETE", older),
        MADE,
        change_set("CREATE_COMPLETE"),
        change_set("CREATE_COMPLETE", changes=("StateMachine",)),
        events(),
        EXECUTED,
        stack_is("UPDATE_COMPLETE", older),  # CloudFormation has not begun yet
        events(),
        stack_is("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", parameters),
        events(begun),
        stack_is("UPDATE_COMPLETE", parameters),
        events(begun, done),
        stack_is("UPDATE_COMPLETE", parameters),
    )
    uploads(session)
    idle(session)
    lines = run()
    assert lines[3:] == [
        "uploaded s3://lake/config/tables.json",
        "Modify StateMachine (T), replaced: Definition",
        f"UPDATE_IN_PROGRESS {STACK} (AWS::Some::Type): User Initiated",
        f"UPDATE_COMPLETE {STACK} (AWS::Some::Type)",
    ]


def test_a_table_is_added_without_a_change_set(session: FakeSession, run: Run, parameters: dict[str, str]) -> None:
    script(
        session,
        stack_is("CREATE_COMPLETE", parameters),
        ("get_template", {"TemplateBody": template.rendered()}),
        stack_is("CREATE_COMPLETE", parameters),
    )
    uploads(session)
    assert run()[-1] == f"stack {STACK} is up to date"


def test_a_change_set_without_changes_is_no_error(session: FakeSession, run: Run, parameters: dict[str, str]) -> None:
    script(
        session,
        stack_is("CREATE_COMPLETE", parameters),
        ("get_template", {"TemplateBody": '{"Resources":{}}'}),
        MADE,
        change_set("FAILED", NO_CHANGE),
        DELETED,
        stack_is("CREATE_COMPLETE", parameters),
    )
    uploads(session)
    assert run()[-1] == f"stack {STACK} is up to date"


def test_a_dry_run_shows_the_changes_and_leaves_nothing(session: FakeSession, run: Run) -> None:
    missing(session)
    nothing_retained(session)
    script(
        session,
        MADE,
        change_set("CREATE_COMPLETE"),
        change_set("CREATE_COMPLETE", changes=("Bucket",)),
        DELETED,
        ("delete_stack", {}),
    )
    assert run(dry_run, BucketName="lake") == ["Modify Bucket (T), replaced: Definition"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "BucketName is missing: give --parameter BucketName="),
        ({"Bucket": "lake"}, "unknown parameter Bucket: the template has BucketName, "),
        ({"BucketName": "lake", "DriverKey": "jar/0/x.jar"}, "deploy sets the parameter DriverKey itself"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_changed(
    session: FakeSession, run: Run, given: dict[str, str], message: str
) -> None:
    missing(session)
    nothing_retained(session)
    with pytest.raises(UsageError, match=message):
        run(**given)


def test_a_wrong_schedule_is_refused_before_anything_is_changed(session: FakeSession, run: Run) -> None:
    missing(session)
    nothing_retained(session)
    with pytest.raises(CronError, match="did you mean APR"):
        run(BucketName="lake", ScheduleExpression="cron(0 2 1 APRIL ? *)")


def test_deploy_returns_the_outputs(session: FakeSession, driver: Path, parameters: dict[str, str]) -> None:
    script(
        session,
        stack_is("CREATE_COMPLETE", parameters),
        ("get_template", {"TemplateBody": template.rendered()}),
        stack_is("CREATE_COMPLETE", parameters),
    )
    uploads(session)
    known(session)
    outputs = deploy(session.typed, DeployRequest(STACK, {}, driver, ignore=preflight.CHECKS), print)
    assert outputs == StackOutputs("lake", *[OUTPUTS[key] for key in list(OUTPUTS)[1:]])


def updated(session: FakeSession, before: dict[str, str]) -> None:
    """An update that succeeds."""
    script(
        session,
        stack_is("UPDATE_COMPLETE", before),
        MADE,
        change_set("CREATE_COMPLETE"),
        change_set("CREATE_COMPLETE"),
        events(),
        EXECUTED,
        stack_is("UPDATE_COMPLETE"),
        events(("UPDATE_COMPLETE", STACK, "")),
        stack_is("UPDATE_COMPLETE", before),
    )
    uploads(session)


def test_nothing_is_pruned_while_an_execution_runs(session: FakeSession, run: Run, parameters: dict[str, str]) -> None:
    updated(session, parameters)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    running = {"executionArn": "e", "stateMachineArn": "m", "name": "n", "status": "RUNNING", "startDate": now}
    session.script("stepfunctions").add_response("list_executions", {"executions": [running]})
    assert not any("deleted" in line for line in run(MaximumExecutors="5"))


def test_deploy_says_that_a_new_address_must_confirm_its_subscription(
    session: FakeSession, run: Run, parameters: dict[str, str]
) -> None:
    """sns/latest/dg/SendMessageToHttp.confirm.html; the token is good for two days (botocore's model of Subscribe)."""
    updated(session, parameters)
    idle(session)
    assert run(FailureEmail="team@example.com")[-1] == (
        "AWS sends two mails (failures and alarms) to team@example.com with a link that confirms the subscription. "
        "Notifications arrive only after somebody opens it. The link expires after 2 days: then deploy with "
        "FailureEmail empty, and again with team@example.com"
    )


def test_deploy_says_nothing_about_an_address_that_it_has_subscribed_before(
    session: FakeSession, run: Run, parameters: dict[str, str]
) -> None:
    updated(session, parameters | {"FailureEmail": "team@example.com"})
    idle(session)
    assert not any("to confirm" in line for line in run(MaximumExecutors="5"))
