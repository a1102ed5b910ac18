"""Job runs whose `s3://` is moto's own S3, an object store, which Spark reaches by Hadoop's S3A."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.exceptions import MissingBucket
from moto.s3.models import S3Backend, s3_backends

from aws_setup.local.emulator.spark.logs import GzippedCopy
from aws_setup.local.emulator.spark.submit import SparkSubmit

FILE_SYSTEM = "org.apache.hadoop.fs.s3a.S3AFileSystem"

_REGION = "us-east-1"


@dataclass(frozen=True)
class SparkOverS3a(SparkSubmit):
    """SparkSubmit for the objects of the moto server in this process; its `spark_home` has S3A's jars.

    `lake` is then a folder for copies of single objects: the files of a job, and its logs.
    """

    def locate(self, uri: str) -> str:
        """A copy of the object behind an s3:// URI; of one that does not exist the URI, for Spark to refuse."""
        if uri.startswith("s3://"):
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            _download(bucket, key, self.lake / bucket / key)
        return super().locate(uri)

    def _s3_properties(self) -> dict[str, str]:
        return properties(os.environ["AWS_ENDPOINT_URL_S3"])

    def _log_copy(self, file: Path, copy: Path) -> GzippedCopy:
        return _UploadedCopy(file, copy, self.lake)


def properties(endpoint: str) -> dict[str, str]:
    """The Spark properties with which `s3://` is S3A over the S3 server at `endpoint`, as the job's user."""
    return {
        "spark.hadoop.fs.s3.impl": FILE_SYSTEM,
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": _REGION,
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }


class _UploadedCopy(GzippedCopy):
    """The compressed copy of a log, which is an object as well."""

    def __init__(self, source: Path, copy: Path, lake: Path) -> None:
        super().__init__(source, copy)
        self._file = copy
        self._bucket, _, self._key = str(copy.relative_to(lake)).partition("/")

    def update(self) -> None:
        """See GzippedCopy."""
        before = self._file.stat().st_size if self._file.exists() else -1
        super().update()
        if self._file.stat().st_size != before:
            _backend().put_object(self._bucket, self._key, self._file.read_bytes())


def _backend() -> S3Backend:
    # Not over HTTP: the logs of jobs that the account's end stops are written when its server is gone.
    backend: S3Backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    return backend


def _download(bucket: str, key: str, file: Path) -> None:
    try:
        found = _backend().get_object(bucket, key)
    except MissingBucket:
        return
    if found is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(found.value)
