from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aws_setup.cloudformation import parameters, retained
from aws_setup.commands import preflight
from aws_setup.commands.preflight import Preflight, Target
from aws_setup.errors import DeployError
from ingest_assets.aws.stack import Stack
from tests.unit.aws_setup.fakes import STACK_ID, FakeSession

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:POSTGRESQL-a1b2c3"
FIELDS = {
    "POSTGRES_HOST": "db.example.com",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "reader",
    "POSTGRES_PASSWORD": "hunter2",
    "POSTGRES_DB": "shop",
}
STACK = Stack(STACK_ID, "data-lake-ingestion", "CREATE_COMPLETE", datetime(2026, 1, 1, tzinfo=UTC), {}, {})


@pytest.fixture
def session() -> FakeSession:
    session = FakeSession()
    session.script("sts").add_response("get_caller_identity", {"Arn": "arn:aws:iam::123456789012:user/me"})
    return session


def driver(folder: Path, version: str = "42.7.13") -> Path:
    jar = folder / "postgresql.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("org/postgresql/Driver.class", "")
        archive.writestr("META-INF/MANIFEST.MF", f"Implementation-Version: {version}\n")
    return jar


@pytest.fixture
def target(tmp_path: Path) -> Target:
    values = parameters.effective({"BucketName": "lake"}, None)
    return Target("data-lake-ingestion", values, None, {}, None, lambda: driver(tmp_path))


def only(session: FakeSession, name: str, target: Target) -> Preflight:
    """The preflight with one check, which must make all scripted calls."""
    found = preflight.check(session.typed, target, [one for one in preflight.CHECKS if one != name])
    session.assert_all_called()
    return found


def text(found: Preflight) -> str:
    """The one finding's level and text."""
    (one,) = found.findings
    return f"{one.level}: {one.text}"


def labels(session: FakeSession, *found: str) -> None:
    session.script("emr").add_response("list_release_labels", {"ReleaseLabels": list(found)})


def secret(session: FakeSession, value: Mapping[str, str] | None = None, **about: Any) -> None:
    """The secret exists, and is read when it has a value."""
    session.script("secretsmanager").add_response("describe_secret", {"ARN": SECRET, **about})
    if value is not None:
        session.script("secretsmanager").add_response("get_secret_value", {"SecretString": json.dumps(value)})


def test_a_release_that_emr_lists_is_fine(session: FakeSession, target: Target) -> None:
    labels(session, "emr-7.14.0")
    assert only(session, "release", target).findings == ()


def test_a_release_that_emr_does_not_list_is_a_warning(session: FakeSession, target: Target) -> None:
    labels(session)
    assert text(only(session, "release", target)).startswith("warning: EMR does not list the release emr-7.14.0")


def test_a_stack_with_a_release_that_is_too_old_gets_the_name_of_one_to_use(
    session: FakeSession, target: Target
) -> None:
    older = replace(target, parameters={**target.parameters, "ReleaseLabel": "emr-7.9.0"})
    found = text(only(session, "release", older))
    assert found.startswith("error: ReleaseLabel cannot be 'emr-7.9.0': it accepts emr-7.10.0 or a later release")


@pytest.mark.parametrize(
    ("sizes", "finding"),
    [
        ({}, None),
        ({"ExecutorMemory": "14g"}, None),  # 15.4 GB
        ({"ExecutorMemory": "15g"}, "error: ExecutorMemory 15g needs a worker of 17 GB .* 2 vCPU has at most 16 GB"),
        ({"DriverCores": "1", "DriverMemory": "8g"}, "error: DriverMemory 8g needs a worker of 9 GB"),
        ({"DriverCores": "16", "ExecutorCores": "16"}, "error: MaximumCpu 8vCPU is too small .* give 32vCPU"),
        ({"MaximumMemory": "8GB"}, "error: MaximumMemory 8GB is too small for a driver and an executor: give 14GB"),
        ({"ExecutorMemory": "15g", "SparkSubmitParameters": "--conf spark.executor.cores=4"}, None),
    ],
)
def test_workers_have_a_size_of_emr_serverless_and_fit_into_the_application(
    session: FakeSession, target: Target, sizes: dict[str, str], finding: str | None
) -> None:
    """emr/latest/EMR-Serverless-UserGuide/app-behavior.html#worker-configs."""
    found = only(session, "size", replace(target, parameters={**target.parameters, **sizes}))
    assert bool(found.findings) == bool(finding)
    if finding:
        assert re.match(finding, text(found))


def test_a_check_that_the_caller_may_not_make_is_a_warning(session: FakeSession, target: Target) -> None:
    session.script("emr").add_client_error("list_release_labels", "AccessDeniedException")
    found = only(session, "release", target)
    assert text(found) == "warning: the release was not checked: you are not allowed ListReleaseLabels"
    assert not found.failed


@pytest.mark.parametrize(
    ("code", "message"),
    [("404", None), ("403", "belongs to another account"), (None, "exists and does not have this stack's tags")],
)
def test_the_bucket_name_must_be_free_before_the_first_deployment(
    session: FakeSession, target: Target, code: str | None, message: str | None
) -> None:
    if code:
        session.script("s3").add_client_error("head_bucket", code)
    else:
        session.script("s3").add_response("head_bucket", {})
    found = only(session, "bucket", target)
    assert found.failed is (message is not None)
    if message:
        assert re.match(f"error: .*{message}", text(found))


def test_a_retained_bucket_and_the_stack_s_bucket_have_no_finding(session: FakeSession, target: Target) -> None:
    bucket = retained.Resource("AWS::S3::Bucket", "BucketName", "lake")
    assert only(session, "bucket", replace(target, taken_over={"Bucket": bucket})).findings == ()
    session.script("sts").add_response("get_caller_identity", {"Arn": "arn:aws:iam::123456789012:user/me"})
    assert only(session, "bucket", replace(target, existing=STACK)).findings == ()


def test_a_bucket_needs_a_name(session: FakeSession, target: Target) -> None:
    assert text(only(session, "bucket", replace(target, parameters={}))).startswith("error: BucketName is missing")


def test_a_secret_with_all_fields_has_no_finding(session: FakeSession, target: Target) -> None:
    secret(session, FIELDS)
    assert only(session, "secret", replace(target, existing=STACK)).findings == ()


@pytest.mark.parametrize("change", [{"POSTGRES_PASSWORD": ""}, {"POSTGRES_PORT": "x"}, {"POSTGRES_PASWORD": "hunter2"}])
def test_a_secret_that_lacks_a_field_is_a_warning_without_its_values(
    session: FakeSession, target: Target, change: dict[str, str]
) -> None:
    secret(session, {**FIELDS, **change})
    found = only(session, "secret", replace(target, existing=STACK))
    assert re.match(
        "warning: secret POSTGRESQL: .*POSTGRES_PAS.*|warning: secret POSTGRESQL: the port must", text(found)
    )
    assert text(found).endswith("Jobs fail until this is fixed")
    assert "hunter2" not in found.to_json()


def test_a_secret_of_rds_needs_the_database_parameters(session: FakeSession, target: Target) -> None:
    given = {**target.parameters, "DatabaseSecretArn": SECRET.replace("POSTGRESQL", "rds!db-1")}
    by_rds = {"username": "reader", "password": "hunter2"}
    secret(session, by_rds)
    found = text(only(session, "secret", replace(target, parameters=given)))
    assert found.startswith(f"warning: secret {given['DatabaseSecretArn']}: host, dbname missing: deploy with --param")
    session.script("sts").add_response("get_caller_identity", {"Arn": "arn:aws:iam::123456789012:user/me"})
    secret(session, by_rds)
    given |= {"DatabaseHost": "db.example.com", "DatabaseName": "shop"}
    assert only(session, "secret", replace(target, parameters=given)).findings == ()


def test_a_port_that_the_security_group_keeps_closed_is_an_error(session: FakeSession, target: Target) -> None:
    secret(session, {**FIELDS, "POSTGRES_PORT": "6432"})
    found = only(session, "secret", replace(target, existing=STACK, parameters={**target.parameters, "VpcId": "vpc-1"}))
    assert text(found).endswith("opens port 5432: deploy with --parameter DatabasePort=6432")
    assert found.failed


def test_a_secret_that_the_caller_may_not_read_was_not_checked(session: FakeSession, target: Target) -> None:
    secret(session)
    session.script("secretsmanager").add_client_error("get_secret_value", "AccessDeniedException")
    found = only(session, "secret", replace(target, existing=STACK))
    assert text(found) == "warning: the secret was not checked: you are not allowed GetSecretValue"


def test_before_the_first_deployment_the_secret_is_to_be_set_after_it(session: FakeSession, target: Target) -> None:
    session.script("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")
    assert text(only(session, "secret", target)) == (
        "warning: the secret POSTGRESQL does not exist yet: set it with `python -m aws_setup secret` after the"
        " deployment"
    )


def test_a_secret_that_is_scheduled_for_deletion_blocks_its_name(session: FakeSession, target: Target) -> None:
    secret(session, DeletedDate=datetime(2026, 1, 1, tzinfo=UTC))
    found = text(only(session, "secret", target))
    assert found.startswith("error: the secret POSTGRESQL is scheduled for deletion")
    assert f"`aws secretsmanager restore-secret --secret-id {SECRET}`" in found


def test_a_secret_without_the_stack_s_tags_is_an_error(session: FakeSession, target: Target) -> None:
    secret(session)
    assert f"--parameter DatabaseSecretArn={SECRET}" in text(only(session, "secret", target))


def test_a_given_secret_must_exist(session: FakeSession, target: Target) -> None:
    session.script("secretsmanager").add_client_error("describe_secret", "ResourceNotFoundException")
    given = replace(target, parameters={**target.parameters, "DatabaseSecretArn": SECRET})
    assert text(only(session, "secret", given)).startswith(f"error: there is no secret {SECRET}")


@pytest.mark.parametrize("version", ["42.7.6", "42.2.5"])
def test_an_old_driver_is_refused(session: FakeSession, target: Target, tmp_path: Path, version: str) -> None:
    old = replace(target, driver_jar=lambda: driver(tmp_path, version))
    assert f"has version {version}, which is older than 42.7.7 (CVE-2025-49146)" in text(only(session, "driver", old))


def test_a_jar_that_is_not_the_driver_is_an_error(session: FakeSession, target: Target) -> None:
    nothing = replace(target, driver_jar=lambda: Path("/nowhere/x.jar"))
    assert "error: /nowhere/x.jar is not the PostgreSQL JDBC driver" in text(only(session, "driver", nothing))


def test_wrong_tables_are_an_error(session: FakeSession, target: Target, tmp_path: Path) -> None:
    wrong = tmp_path / "tables.yaml"
    wrong.write_text("- {tabel: public.orders}\n")
    assert text(only(session, "tables", replace(target, tables=wrong))).startswith("error: ")


def test_errors_stop_a_deployment_with_a_line_each_and_warnings_do_not(session: FakeSession, target: Target) -> None:
    labels(session)
    session.script("s3").add_client_error("head_bucket", "403")
    nothing = replace(target, driver_jar=lambda: Path("/nowhere/x.jar"))
    found = preflight.check(session.typed, nothing, ["network", "secret", "tables"])
    lines: list[str] = []
    with pytest.raises(DeployError) as caught:
        preflight.enforce(found, lines.append)
    assert [line.split(":")[0] for line in lines] == ["warning"]
    assert [line.rpartition("(")[2] for line in str(caught.value).splitlines()] == [
        "--ignore bucket deploys anyway)",
        "--ignore driver deploys anyway)",
    ]


def test_text_and_json_have_the_same_findings(session: FakeSession, target: Target) -> None:
    labels(session)
    found = preflight.check(session.typed, target, ["network", "bucket", "secret"])
    assert [line.split()[:2] for line in found.to_text().splitlines()] == [
        ["identity", "ok"],
        ["size", "ok"],
        ["driver", "ok"],
        ["tables", "ok"],
        ["release", "warning"],
    ]
    assert json.loads(found.to_json())["findings"][0]["check"] == "release"


@pytest.mark.parametrize("pepper", ["", "5e" * 32])
def test_hashed_columns_without_a_pepper_are_a_warning(
    session: FakeSession, target: Target, tmp_path: Path, pepper: str
) -> None:
    tables = tmp_path / "tables.yaml"
    entry = "{table: public.people, date_column: at, first_month: 2024-01, columns: {email: {hash: true}}}"
    tables.write_text(f"- {entry}\n")
    secret(session, {**FIELDS, "PII_PEPPER": pepper})
    found = only(session, "secret", replace(target, existing=STACK, tables=tables))
    assert [one.text for one in found.findings] == [
        "the secret POSTGRESQL has no PII_PEPPER, under which columns of people are hashed: run"
        " `python -m aws_setup secret --new-pepper`. These tables fail until then"
    ] * (not pepper)
