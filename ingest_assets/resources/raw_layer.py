"""The raw layer as a Dagster resource."""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

from typing import TYPE_CHECKING

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field, PrivateAttr

from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.resources.account import AwsAccount

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class RawLayerResource(dg.ConfigurableResource, RawLayer):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """The raw layer in the bucket of the stack, or in the one given."""

    account: dg.ResourceDependency[AwsAccount]
    s3: dg.ResourceDependency[S3Resource]
    bucket: str | None = Field(default=None, description="Name of the bucket. Default: the stack's output.")

    _cached: "S3Client | None" = PrivateAttr(default=None)

    def bucket_name(self) -> str:
        """The name of the bucket. Raises StackError or AwsError when the stack must be asked for it and cannot be."""
        return self.bucket or self.account.outputs().bucket_name

    def client(self) -> "S3Client":
        """The client of S3Resource, made once."""
        if self._cached is None:
            self._cached = self.s3.get_client()
        return self._cached
