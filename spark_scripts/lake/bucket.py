"""The bucket, as the job sees it.

Data files are listed, moved and deleted through Hadoop's FileSystem, the same on EMRFS, S3A and a local folder.
Manifests are written by one PutObject each, which S3 makes atomic: a reader sees the old one or the new one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from spark_scripts.contract import layout
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import File, Manifest
from spark_scripts.driver.jvm import JAVA_ERRORS, java_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client
    from pyspark.sql import SparkSession


AT_ONCE = 32
"""Requests that the driver makes at once, for all tables together: they wait for S3, and need no processor."""

_S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"


class LakeError(IngestionError):
    """The bucket refused or failed."""


class Lake:
    """A bucket: `spark` reaches its data files, `client` its manifests."""

    def __init__(self, spark: SparkSession, client: S3Client, bucket: str) -> None:
        jvm: Any = spark._jvm
        self._client = client
        self._path = jvm.org.apache.hadoop.fs.Path
        self._pool = ThreadPoolExecutor(AT_ONCE, "lake")
        self.bucket = bucket
        with _explained(f"bucket {bucket} cannot be reached"):
            hadoop = spark._jsc.hadoopConfiguration()
            self._fs = self._path(self.uri("")).getFileSystem(hadoop)
            # S3A needs no folder to rename into, and mkdirs would leave an object there, the folder's marker.
            self._has_folders = self._fs.getClass().getName() != _S3A

    def uri(self, key: str) -> str:
        """The `s3://` address of `key`."""
        return f"s3://{self.bucket}/{key}"

    def write(self, key: str, text: str) -> None:
        """Write an object, at once or not at all. Raises LakeError."""
        try:
            self._client.put_object(
                Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="application/json; charset=utf-8"
            )
        except (BotoCoreError, ClientError) as error:
            raise LakeError(f"{self.uri(key)} cannot be written: {error}") from error

    def manifests(self, keys: Iterable[str]) -> list[Manifest]:
        """The manifests at `keys`, read side by side. Raises LakeError or DocumentError."""
        return list(self._pool.map(lambda key: Manifest.from_json(read_text(self._client, self.bucket, key)), keys))

    def files(self, prefix: str) -> list[File]:
        """The files directly in the folder `prefix` (which ends with a slash), by key."""
        with _explained(f"{self.uri(prefix)} cannot be listed"):
            found = [
                File(prefix + status.getPath().getName(), status.getLen())
                for status in self._statuses(prefix)
                if status.isFile()
            ]
        return sorted(found, key=lambda file: file.key)

    def files_below(self, prefix: str) -> list[File]:
        """The files in the folder `prefix` and in all folders below it, by key."""
        root = self.uri("")
        with _explained(f"{self.uri(prefix)} cannot be listed"), _nothing_there():
            found = []
            each = self._fs.listFiles(self._path(self.uri(prefix)), True)
            while each.hasNext():
                status = each.next()
                found.append(File(status.getPath().toString()[len(root) :], status.getLen()))
            return sorted(found, key=lambda file: file.key)
        return []

    def folders(self, prefix: str) -> list[str]:
        """The folders directly in the folder `prefix`, as prefixes."""
        with _explained(f"{self.uri(prefix)} cannot be listed"):
            return [
                f"{prefix}{status.getPath().getName()}/" for status in self._statuses(prefix) if status.isDirectory()
            ]

    def _statuses(self, prefix: str) -> list[Any]:
        with _nothing_there():  # to ask first whether it exists would be two more requests of S3A
            return list(self._fs.listStatus(self._path(self.uri(prefix))))
        return []

    def move(self, targets: Mapping[str, str]) -> None:
        """Move files, side by side, to keys that are free: `targets` are the new keys by the old ones."""
        list(self._pool.map(self._move, targets.keys(), targets.values()))

    def _move(self, source: str, target: str) -> None:
        with _explained(f"{self.uri(source)} cannot be moved to {self.uri(target)}"):
            destination = self._path(self.uri(target))
            if self._has_folders:
                self._fs.mkdirs(destination.getParent())
            if not self._fs.rename(self._path(self.uri(source)), destination):
                raise LakeError(f"{self.uri(source)} could not be moved to {self.uri(target)}")

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete files or folders, side by side."""
        list(self._pool.map(self.delete, keys))

    def delete(self, key_or_prefix: str) -> None:
        """Delete a file, or a folder with its content. Does nothing when there is none."""
        with _explained(f"{self.uri(key_or_prefix)} cannot be deleted"):
            self._fs.delete(self._path(self.uri(key_or_prefix)), True)

    def delete_staging(self, names: Collection[str]) -> None:
        """Delete what any execution left in staging for the tables `names`.

        Only the holder of the tables' locks may call this: no other execution uses these folders then.
        """
        for folder in self.folders(layout.STAGING):
            found = self.folders(folder)
            left = [each for each in found if each[len(folder) : -1] in names]
            self.delete_all(left)
            if len(left) == len(found):
                self._delete_if_empty(folder)

    def _delete_if_empty(self, prefix: str) -> None:
        try:
            self._fs.delete(self._path(self.uri(prefix)), False)
        except JAVA_ERRORS:
            if not self.folders(prefix):  # else another execution has begun to use it
                raise


def read_text(client: S3Client, bucket: str, key: str) -> str:
    """The text of an object. Raises LakeError naming it when it is missing or refused."""
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except (BotoCoreError, ClientError) as error:
        hint = ": run `python -m aws_setup deploy`" if key == layout.TABLES_KEY else ""
        raise LakeError(f"s3://{bucket}/{key} cannot be read ({error}){hint}") from error


@contextmanager
def _nothing_there() -> Iterator[None]:
    """End the block where a folder is missing."""
    try:
        yield
    except JAVA_ERRORS as error:
        if not java_text(error).startswith("java.io.FileNotFoundException"):
            raise


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except JAVA_ERRORS as error:
        raise LakeError(f"{doing}: {java_text(error)}") from error
