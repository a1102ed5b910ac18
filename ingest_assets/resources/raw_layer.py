"""The bucket as Dagster reads it: what is deployed, what was ingested, what the Spark driver logged."""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg
from botocore.exceptions import ClientError
from dagster_aws.s3 import S3Resource
from pydantic import Field, PrivateAttr

from ingest_assets.aws.driver_logs import last_lines
from ingest_assets.aws.errors import aws_errors, error_code
from ingest_assets.resources.account import AwsAccount
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING = {"NoSuchKey", "404"}


class RawLayer(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """Manifests, tables and logs of the bucket. Every method raises AwsError when the bucket cannot be read."""

    account: dg.ResourceDependency[AwsAccount]
    s3: dg.ResourceDependency[S3Resource]
    bucket: str | None = Field(default=None, description="Name of the bucket. Default: the stack's output.")

    _cached: "S3Client | None" = PrivateAttr(default=None)

    def bucket_name(self) -> str:
        """The bucket of this deployment."""
        return self.bucket or self.account.outputs().bucket_name

    def deployed_tables(self) -> str | None:
        """The document that `aws_setup deploy` uploaded for the job; None before the first deploy."""
        content = self._read(layout.TABLES_KEY)
        return None if content is None else content.decode()

    def current(self, table: str, month: str) -> Manifest | None:
        """The manifest that says what a month holds now; None while it has not been ingested."""
        return self._manifest(layout.current_manifest_key(table, Month.parse(month)))

    def undated(self, table: str) -> Manifest | None:
        """The manifest of the rows without a month, which every execution writes; None before the first one."""
        return self._manifest(layout.current_manifest_key(table, UNDATED))

    def months(self, table: str) -> list[str]:
        """The months of a table that have been ingested, oldest first, as in `2024-02`."""
        keys = self._listed(layout.current_manifests_prefix(table))
        ingested = {layout.partition_of_current_manifest(table, key) for key in keys}
        return sorted(partition.key for partition in ingested - {UNDATED})

    def objects(self, table: str, month: str) -> dict[str, int]:
        """The sizes by key of all objects in the folder of a month."""
        return self._listed(layout.partition_prefix(table, Month.parse(month)))

    def ingested_by(self, execution: str) -> list[tuple[str, str]]:
        """Table and month of each manifest that an execution left, without those of rows that have no month."""
        prefix = layout.execution_manifests_prefix(execution)
        found = [layout.manifest_of_execution(execution, key) for key in self._listed(prefix)]
        return sorted(each for each in found if each and each[1] != UNDATED.key)

    def progress(self, execution: str) -> Progress | None:
        """How far the job of an execution has come; None before it has begun, and of a form of another release."""
        content = self._read(layout.progress_key(execution))
        return None if content is None else Progress.readable(content.decode())

    def committed(self, table: str, months: Iterable[str], execution: str) -> dict[str, Manifest]:
        """The manifests of the months whose current content is of this execution."""
        current = {month: self.current(table, month) for month in months}
        return {month: found for month, found in current.items() if found and found.execution == execution}

    def left_by(self, table: str, months: Iterable[str], execution: str) -> dict[str, Manifest]:
        """The manifests that a finished execution left, also where a later one has written the month since."""
        found = {
            month: self._manifest(layout.execution_manifest_key(execution, table, Month.parse(month)))
            for month in months
        }
        return {month: manifest for month, manifest in found.items() if manifest}

    def uri(self, key: str) -> str:
        """The address of an object of the bucket."""
        return f"s3://{self.bucket_name()}/{key}"

    def log_end(self, key: str) -> list[str]:
        """The last lines of a gzipped log, 64 KiB of them; none while it has not been written."""
        with aws_errors(f"reading {self.uri(key)}"):
            try:
                body = self._client().get_object(Bucket=self.bucket_name(), Key=key)["Body"]
            except ClientError as error:
                if error_code(error) in _MISSING:
                    return []
                raise
            return last_lines(body.iter_chunks(64 * 1024))

    def _manifest(self, key: str) -> Manifest | None:
        content = self._read(key)
        return None if content is None else Manifest.from_json(content.decode())

    def _listed(self, prefix: str) -> dict[str, int]:
        """The sizes by key, without the objects with which S3A marks folders (their keys end with a slash)."""
        with aws_errors(f"listing {self.uri(prefix)}"):
            pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name(), Prefix=prefix)
            entries = [entry for page in pages for entry in page.get("Contents", [])]
            return {entry["Key"]: entry["Size"] for entry in entries if not entry["Key"].endswith("/")}

    def _read(self, key: str) -> bytes | None:
        with aws_errors(f"reading {self.uri(key)}"):
            try:
                return self._client().get_object(Bucket=self.bucket_name(), Key=key)["Body"].read()
            except ClientError as error:
                if error_code(error) in _MISSING:
                    return None
                raise

    def _client(self) -> "S3Client":
        if self._cached is None:
            self._cached = self.s3.get_client()
        return self._cached
