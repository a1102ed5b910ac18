"""The raw layer: the one place that reads manifests, deployed tables, progress and driver logs from the bucket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from ingest_assets.aws.driver_logs import first_lines, last_lines
from ingest_assets.aws.errors import aws_errors, error_code
from spark_scripts.contract import layout
from spark_scripts.contract.errors import DocumentError
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.progress import Progress
from spark_scripts.contract.refresh import Findings, Refresh

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_T = TypeVar("_T")

_MISSING = {"NoSuchKey", "404"}
_CHUNK_BYTES = 64 * 1024
_READERS = 16  # manifests that are read at a time


class RawLayer(ABC):
    """Reads the bucket. Every method raises AwsError when the bucket cannot be read."""

    @abstractmethod
    def bucket_name(self) -> str:
        """The name of the bucket."""

    @abstractmethod
    def client(self) -> S3Client:
        """The client that reads the bucket."""

    def deployed_tables(self) -> str | None:
        """The document that `aws_setup deploy` uploaded for the job; None before the first `deploy`."""
        content = self._read(layout.TABLES_KEY)
        return None if content is None else content.decode()

    def current(self, table: str, month: str) -> Manifest | None:
        """The manifest that says what a month holds now; None while it has not been ingested."""
        return self.current_of(table, Month.parse(month))

    def current_of(self, table: str, partition: Partition) -> Manifest | None:
        """The same for a month or for the rows without a month."""
        return self._manifest(layout.current_manifest_key(table, partition))

    def undated(self, table: str) -> Manifest | None:
        """The manifest of the rows that have no month; None before the first execution. A refresh does not write it."""
        return self._manifest(layout.current_manifest_key(table, UNDATED))

    def months(self, table: str) -> list[str]:
        """The months of a table that have been ingested, oldest first, as in `2024-02`."""
        keys = self._listed(layout.current_manifests_prefix(table))
        ingested = {layout.partition_of_current_manifest(table, key) for key in keys}
        return sorted(partition.key for partition in ingested - {UNDATED})

    def current_manifests(self, table: str) -> list[Manifest]:
        """The manifests that say what each month holds now, and the rows without a month, in the order of keys."""
        return self._manifests(self._listed(layout.current_manifests_prefix(table)))

    def objects(self, table: str, month: str) -> dict[str, int]:
        """The sizes by key of all objects in the folder of a month."""
        return self._listed(layout.partition_prefix(table, Month.parse(month)))

    def ingested_by(self, execution: str) -> list[tuple[str, str]]:
        """Table and month of each manifest of a month that an execution left."""
        prefix = layout.execution_manifests_prefix(execution)
        found = [layout.manifest_of_execution(execution, key) for key in self._listed(prefix)]
        return sorted(each for each in found if each and each[1] != UNDATED.key)

    def manifests_of(self, execution: str) -> list[Manifest]:
        """Every manifest that an execution left, that of the rows without a month among them, in the order of keys."""
        keys = self._listed(layout.execution_manifests_prefix(execution))
        return self._manifests(key for key in keys if layout.manifest_of_execution(execution, key))

    def refresh(self, execution: str, table: str) -> Refresh | None:
        """What an execution found of the table as a refresh.

        None before it has counted, if it is no refresh, and if another release of the job wrote it.
        """
        content = self._read(layout.refresh_key(execution, table))
        return None if content is None else _readable(Refresh.from_json, content)

    def refreshes_by(self, execution: str) -> dict[str, Refresh]:
        """What an execution found as a refresh, by table."""
        keys = self._listed(layout.execution_manifests_prefix(execution))
        tables = [table for key in keys if (table := layout.table_of_refresh(execution, key))]
        return {table: found for table in tables if (found := self.refresh(execution, table))}

    def findings(self, table: str) -> Findings | None:
        """What is known of each month of the table; None before the first refresh, and from another release's."""
        content = self._read(layout.findings_key(table))
        return None if content is None else _readable(Findings.from_json, content)

    def progress(self, execution: str) -> Progress | None:
        """How far an execution's job has come. None before the job starts, or when another release wrote the object."""
        content = self._read(layout.progress_key(execution))
        return None if content is None else Progress.readable(content.decode())

    def committed(self, table: str, months: Iterable[str], execution: str) -> dict[str, Manifest]:
        """The manifests of the months whose current content this execution wrote."""
        current = {month: self.current_of(table, Partition.of_key(month)) for month in months}
        return {month: found for month, found in current.items() if found and found.execution == execution}

    def left_by(self, table: str, months: Iterable[str], execution: str) -> dict[str, Manifest]:
        """The manifests that an execution left for the months, even if a later execution has written them since."""
        found = {
            month: self._manifest(layout.execution_manifest_key(execution, table, Partition.of_key(month)))
            for month in months
        }
        return {month: manifest for month, manifest in found.items() if manifest}

    def content(self, key: str) -> bytes | None:
        """The content of an object; None if there is none."""
        return self._read(key)

    def uri(self, key: str) -> str:
        """The address of an object of the bucket."""
        return f"s3://{self.bucket_name()}/{key}"

    def log_start(self, key: str) -> list[str]:
        """The first lines of a gzipped log, about 64 KiB of them; empty if there is no such object."""
        with aws_errors(f"reading {self.uri(key)}"):
            body = self._body(key)
            return first_lines(body.iter_chunks(_CHUNK_BYTES)) if body else []

    def log_end(self, key: str) -> list[str]:
        """The last lines of a gzipped log, 64 KiB of them; empty if there is no such object."""
        with aws_errors(f"reading {self.uri(key)}"):
            body = self._body(key)
            return last_lines(body.iter_chunks(_CHUNK_BYTES)) if body else []

    def _manifests(self, keys: Iterable[str]) -> list[Manifest]:
        with ThreadPoolExecutor(_READERS) as readers:
            return [manifest for manifest in readers.map(self._manifest, sorted(keys)) if manifest]

    def _manifest(self, key: str) -> Manifest | None:
        content = self._read(key)
        return None if content is None else Manifest.from_json(content.decode())

    def _listed(self, prefix: str) -> dict[str, int]:
        """The sizes by key, without the objects with which S3A marks folders (their keys end with a slash)."""
        with aws_errors(f"listing {self.uri(prefix)}"):
            pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name(), Prefix=prefix)
            entries = [entry for page in pages for entry in page.get("Contents", [])]
            return {entry["Key"]: entry["Size"] for entry in entries if not entry["Key"].endswith("/")}

    def _read(self, key: str) -> bytes | None:
        with aws_errors(f"reading {self.uri(key)}"):
            body = self._body(key)
            return body.read() if body else None

    def _body(self, key: str) -> StreamingBody | None:
        try:
            return self.client().get_object(Bucket=self.bucket_name(), Key=key)["Body"]
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            raise


def _readable(read: Callable[[str], _T], content: bytes) -> _T | None:
    """The document; None when it is of another release."""
    try:
        return read(content.decode())
    except DocumentError:
        return None


class RawLayerOfBucket(RawLayer):
    """The raw layer in the bucket named `bucket`."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def bucket_name(self) -> str:
        """The name of the bucket."""
        return self._bucket

    def client(self) -> S3Client:
        """The client that reads the bucket."""
        return self._client
