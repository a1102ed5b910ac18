"""The life of a stack by the commands, as the local account has it: what is made, what goes, what stays."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from aws_setup.commands.deploy import DeployRequest, deploy, dry_run
from aws_setup.commands.destroy import destroy
from aws_setup.commands.secret import put_database_secret
from aws_setup.errors import DeployError
from spark_scripts.contract.database import Endpoint
from tests.integration.local_aws.conftest import REGION, Aws

STACK = "data-lake-ingestion"
BUCKET = "a-kept-lake"
FIELDS = {
    "POSTGRES_HOST": "db.example.com",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "reader",
    "POSTGRES_PASSWORD": "hunter2",
    "POSTGRES_DB": "shop",
}


class Commands:
    """Deploys and destroys one stack; the lines that were reported."""

    def __init__(self, session: boto3.session.Session, driver: Path) -> None:
        self.session, self.driver = session, driver

    def deploy(self, *, dry: bool = False, **parameters: str) -> list[str]:
        lines: list[str] = []
        (dry_run if dry else deploy)(self.session, DeployRequest(STACK, parameters, self.driver), lines.append)
        return lines

    def destroy(self, *, delete_data: bool = False) -> list[str]:
        lines: list[str] = []
        assert destroy(self.session, STACK, delete_data=delete_data, confirm=lambda _: True, report=lines.append)
        return lines

    def secret(self) -> dict[str, str]:
        value = self.session.client("secretsmanager").get_secret_value(SecretId="POSTGRESQL")["SecretString"]
        fields: dict[str, str] = json.loads(value)
        return fields


@pytest.fixture(scope="module")
def commands(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """In an account that is empty, and has the whole of S3 in moto."""
    driver = tmp_path_factory.mktemp("driver") / "postgresql-42.7.13.jar"
    with zipfile.ZipFile(driver, "w") as archive:
        archive.writestr("org/postgresql/Driver.class", "")
        archive.writestr("META-INF/MANIFEST.MF", "Implementation-Version: 42.7.13\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "INGEST_"))]:
            patch.delenv(name)  # of the account that other tests use
        patch.setenv("AWS_ENDPOINT_URL", aws.url)
        yield Commands(boto3.session.Session("key", "secret", region_name=REGION), driver)


def test_bucket_and_secret_of_a_destroyed_stack_stay_with_what_they_hold(commands: Commands) -> None:
    commands.deploy(BucketName=BUCKET)
    put_database_secret(commands.session, "POSTGRESQL", FIELDS, Endpoint())
    s3 = commands.session.client("s3")
    s3.put_object(Bucket=BUCKET, Key="raw-layer/x.csv", Body=b"1")
    assert "up to date" in commands.deploy()[-1]
    assert f"retained the bucket {BUCKET}" in commands.destroy()[-1]
    assert commands.secret() == FIELDS
    assert s3.get_object(Bucket=BUCKET, Key="raw-layer/x.csv")["Body"].read() == b"1"
    empty(commands)


def empty(commands: Commands) -> None:
    """Delete what a destroyed stack kept."""
    s3, secrets = commands.session.client("s3"), commands.session.client("secretsmanager")
    for version in s3.list_object_versions(Bucket=BUCKET)["Versions"]:
        s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
    secrets.delete_secret(SecretId="POSTGRESQL", ForceDeleteWithoutRecovery=True)


def test_a_change_of_the_stack_is_refused_and_the_stack_stays_as_it_is(commands: Commands) -> None:
    commands.deploy(BucketName=BUCKET)
    before = commands.session.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    with pytest.raises(ClientError, match="creates its stack at each start and cannot UPDATE one"):
        commands.deploy(MaximumExecutors="4")
    assert commands.session.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"] == before


def test_nothing_comes_back_when_the_data_was_deleted_too(commands: Commands) -> None:
    commands.destroy(delete_data=True)
    for service, call, request in (
        ("s3", "head_bucket", {"Bucket": BUCKET}),
        ("secretsmanager", "describe_secret", {"SecretId": "POSTGRESQL"}),
    ):
        with pytest.raises(ClientError):
            getattr(commands.session.client(service), call)(**request)  # type: ignore[call-overload]
    with pytest.raises(DeployError, match="BucketName is missing"):
        commands.deploy()


def test_a_bucket_that_is_not_the_stacks_is_left_alone(commands: Commands) -> None:
    commands.session.client("s3").create_bucket(Bucket="somebody-elses")
    with pytest.raises(DeployError, match="exists and does not have this stack's tags"):
        commands.deploy(BucketName="somebody-elses")


def test_a_secret_on_its_way_out_blocks_its_name(commands: Commands) -> None:
    client = commands.session.client("secretsmanager")
    arn = client.create_secret(Name="POSTGRESQL", SecretString="{}")["ARN"]
    client.delete_secret(SecretId=arn)
    with pytest.raises(DeployError, match=f"restore-secret --secret-id {arn}"):
        commands.deploy(BucketName="another-lake")
