"""The resources that an earlier stack left behind, and their import."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY

from aws_setup.cloudformation import retained, template
from aws_setup.commands import preflight
from aws_setup.commands.deploy import DeployRequest, deploy, dry_run
from aws_setup.errors import DeployError
from ingest_assets.aws.stack import Stack
from tests.unit.aws_setup import answers
from tests.unit.aws_setup.fakes import STACK_ID, FakeSession

STACK = "data-lake-ingestion"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:POSTGRESQL-a1b2c3"
TAGS = [{"Key": "project", "Value": STACK}, {"Key": "stack", "Value": STACK}, {"Key": "more", "Value": "x"}]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return FakeSession()


def buckets(session: FakeSession, *names: str, gone: tuple[str, ...] = ()) -> None:
    """The tagging API lists these buckets, and still lists those in `gone`, which were deleted."""
    listed = [{"ResourceARN": f"arn:aws:s3:::{name}"} for name in names]
    filters = [{"Key": "project", "Values": [STACK]}, {"Key": "stack", "Values": [STACK]}]
    session.script("resourcegroupstaggingapi").add_response(
        "get_resources", {"ResourceTagMappingList": listed}, {"TagFilters": filters, "ResourceTypeFilters": ["s3"]}
    )
    for name in names:
        if name in gone:
            session.script("s3").add_client_error("head_bucket", "404")
        else:
            session.script("s3").add_response("head_bucket", {}, {"Bucket": name})


def secret(session: FakeSession, **about: Any) -> None:
    answer = {"ARN": SECRET, "Tags": TAGS, **about}
    session.script("secretsmanager").add_response("describe_secret", answer, {"SecretId": "POSTGRESQL"})


def no_secret(session: FakeSession) -> None:
    session.script("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")


def found(session: FakeSession, **given: str) -> dict[str, str]:
    """The values that identify the resources."""
    result = {name: one.value for name, one in retained.find(session.typed, STACK, given).items()}
    session.assert_all_called()
    return result


def test_retained_bucket_and_secret_are_found_by_the_stack_s_tags(session: FakeSession) -> None:
    buckets(session, "lake")
    secret(session)
    assert found(session) == {"Bucket": "lake", "DatabaseSecret": SECRET}


def test_another_bucket_than_the_given_one_is_not_imported(session: FakeSession) -> None:
    buckets(session, "lake")
    no_secret(session)
    assert found(session, BucketName="other") == {}


def test_of_several_buckets_one_must_be_named(session: FakeSession) -> None:
    buckets(session, "lake", "older")
    no_secret(session)
    assert found(session) == {}


def test_a_deleted_bucket_is_not_imported(session: FakeSession) -> None:
    buckets(session, "lake", "deleted", gone=("deleted",))
    no_secret(session)
    assert found(session) == {"Bucket": "lake"}


def test_a_caller_who_may_not_list_buckets_finds_none(session: FakeSession) -> None:
    session.script("resourcegroupstaggingapi").add_client_error("get_resources", "AccessDeniedException")
    no_secret(session)
    assert found(session, BucketName="lake") == {}


@pytest.mark.parametrize("about", [{"Tags": []}, {"Tags": TAGS[:1]}, {"DeletedDate": datetime(2026, 1, 1, tzinfo=UTC)}])
def test_a_secret_without_the_tags_or_scheduled_for_deletion_is_not_imported(
    session: FakeSession, about: dict[str, Any]
) -> None:
    buckets(session)
    secret(session, **about)
    assert found(session) == {}


def test_a_secret_that_is_given_is_not_imported(session: FakeSession) -> None:
    buckets(session)
    assert found(session, DatabaseSecretArn=SECRET) == {}


KEPT = {
    "Bucket": retained.Resource("AWS::S3::Bucket", "BucketName", "lake"),
    "DatabaseSecret": retained.Resource("AWS::SecretsManager::Secret", "Id", SECRET),
}


def test_the_import_has_the_retained_resources_of_the_template_and_no_outputs() -> None:
    document = json.loads(retained.import_template(KEPT))
    assert document.keys() == {"AWSTemplateFormatVersion", "Parameters", "Conditions", "Resources"}
    assert document["Resources"].keys() == KEPT.keys()
    for name, resource in document["Resources"].items():
        whole = template.template()["Resources"][name]
        assert resource == {**whole, "DeletionPolicy": "Retain"}
        assert whole["DeletionPolicy"] == "RetainExceptOnCreate"


Run = Callable[..., list[str]]


@pytest.fixture
def run(session: FakeSession, tmp_path: Path) -> Run:
    """Deploy (or call `act`) after a destroy that retained bucket and secret; returns the reported lines."""
    jar = tmp_path / "postgresql-42.7.13.jar"
    jar.write_bytes(b"a driver")

    def run(act: Callable[..., Any] = deploy) -> list[str]:
        lines: list[str] = []
        act(session.typed, DeployRequest(STACK, {}, jar, ignore=preflight.CHECKS), lines.append)
        session.assert_all_called()
        return lines

    return run


def left(session: FakeSession) -> None:
    """The caller is known, and an earlier stack has left its bucket and secret."""
    answers.known(session)
    buckets(session, "lake")
    secret(session)


def proposed(session: FakeSession, kind: str, **more: Any) -> None:
    """A change set with exactly these members.

    An import has no Tags and no RoleARN: "As part of the import operation, you cannot modify or add [RoleArn, Tags]"
    is a ValidationError that AWS gave in public deployments, and documents nowhere.
    """
    expected = {"StackName": STACK, "ChangeSetType": kind, **more}
    expected |= dict.fromkeys(("ChangeSetName", "TemplateBody", "Parameters", "Capabilities"), ANY)
    session.script("cloudformation").add_response("create_change_set", answers.MADE[1], expected)


IMPORTS = [
    {
        "ResourceType": "AWS::S3::Bucket",
        "LogicalResourceId": "Bucket",
        "ResourceIdentifier": {"BucketName": "lake"},
    },
    {
        "ResourceType": "AWS::SecretsManager::Secret",
        "LogicalResourceId": "DatabaseSecret",
        "ResourceIdentifier": {"Id": SECRET},
    },
]


def test_deploy_imports_what_destroy_retained_and_then_adds_the_rest(session: FakeSession, run: Run) -> None:
    left(session)
    answers.missing(session)
    proposed(session, "IMPORT", ResourcesToImport=IMPORTS)
    imported = (("IMPORT_COMPLETE", "Bucket", ""), ("IMPORT_COMPLETE", STACK, ""))
    answers.script(
        session,
        answers.change_set("CREATE_COMPLETE"),
        answers.change_set("CREATE_COMPLETE"),
        answers.events(),
        answers.EXECUTED,
        answers.stack_is("IMPORT_COMPLETE", outputs={}),
        answers.events(*imported),
    )
    proposed(session, "UPDATE", Tags=TAGS[:2])
    answers.script(
        session,
        answers.change_set("CREATE_COMPLETE"),
        answers.change_set("CREATE_COMPLETE"),
        answers.events(*imported),
        answers.EXECUTED,
        answers.stack_is("UPDATE_COMPLETE"),
        answers.events(*imported, ("UPDATE_COMPLETE", STACK, "")),
        answers.stack_is("UPDATE_COMPLETE"),
    )
    answers.uploads(session)
    lines = run()
    assert f"importing {SECRET}, which an earlier stack left behind" in lines
    assert "IMPORT_COMPLETE Bucket (AWS::Some::Type)" in lines


def test_a_dry_run_over_retained_resources_shows_the_import_and_changes_nothing(session: FakeSession, run: Run) -> None:
    """AWSCloudFormation/latest/APIReference/API_ResourceChange.html: the action of an import is Import."""
    left(session)
    answers.missing(session)
    proposed(session, "IMPORT", ResourcesToImport=IMPORTS)
    imported = answers.change_set("CREATE_COMPLETE", changes=("Bucket", "DatabaseSecret"), action="Import")
    answers.script(session, answers.change_set("CREATE_COMPLETE"), imported, answers.DELETED, ("delete_stack", {}))
    _where, *lines = run(dry_run)
    assert lines == ["Import Bucket (T)", "Import DatabaseSecret (T)", "deploy would then add the rest of the template"]


def test_an_import_with_tags_fails_with_the_reason_of_cloudformation(session: FakeSession, run: Run) -> None:
    """The text is AWS's; `deploy` treats each refusal of CreateChangeSet in the same way."""
    refusal = "As part of the import operation, you cannot modify or add [RoleArn, Tags]"
    left(session)
    answers.missing(session)
    session.script("cloudformation").add_client_error("create_change_set", "ValidationError", refusal)
    with pytest.raises(ClientError, match=r"\[RoleArn, Tags\]"):
        run()


def test_an_import_that_fails_gives_the_reason_and_its_stack_is_deleted_the_next_time(
    session: FakeSession, run: Run
) -> None:
    reason = "Resource lake already exists in stack arn:other"
    happened = (("IMPORT_FAILED", "Bucket", reason), ("IMPORT_ROLLBACK_COMPLETE", STACK, ""))
    left(session)
    answers.missing(session)
    answers.script(
        session,
        answers.MADE,
        answers.change_set("CREATE_COMPLETE"),
        answers.change_set("CREATE_COMPLETE"),
        answers.events(),
        answers.EXECUTED,
        answers.stack_is("IMPORT_ROLLBACK_COMPLETE", outputs={}),
        answers.events(*happened),
    )
    with pytest.raises(DeployError, match=rf"is IMPORT_ROLLBACK_COMPLETE: Bucket \(AWS::Some::Type\): {reason}"):
        run()
    failed = Stack(STACK_ID, STACK, "IMPORT_ROLLBACK_COMPLETE", datetime(2026, 1, 1, tzinfo=UTC), {}, {})
    assert not failed.made


def test_a_working_stack_is_updated_after_a_failed_import_by_hand() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert Stack(STACK_ID, STACK, "IMPORT_ROLLBACK_COMPLETE", moment, {}, {"BucketName": "lake"}).made


def test_an_import_that_cloudformation_refuses_is_an_error(session: FakeSession, run: Run) -> None:
    left(session)
    answers.missing(session)
    answers.script(session, answers.MADE, answers.change_set("FAILED", "no such type"), answers.DELETED)
    with pytest.raises(DeployError, match="refuses to change stack data-lake-ingestion: no such type"):
        run()
