"""The bucket, as the job sees it.

Spark writes data files through Hadoop's FileSystem. The driver asks S3 itself wherever that takes fewer requests: it
lists, writes the files of small months, and on S3A copies and deletes files. In the local account, where files are no
objects, it moves and deletes them through the FileSystem. A manifest is one PutObject, which S3 makes atomic: a reader
sees the old one or the new one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from spark_scripts.contract import layout
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import File, Manifest
from spark_scripts.driver.jvm import JAVA_ERRORS, java_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from mypy_boto3_s3 import S3Client
    from pyspark.sql import SparkSession


Result = TypeVar("Result")

AT_ONCE = 32
"""Requests that the driver makes at once, for all tables together: they wait for S3, and need no processor."""

_COPIED_AT_ONCE = 5 * 2**30
"""The largest file that CopyObject takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html."""

_DELETED_AT_ONCE = 1000
"""Files that one DeleteObjects takes."""

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

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """Begin requests whose answers are needed later only, in a thread."""
        return self._pool.submit(work)

    def write(self, key: str, text: str) -> None:
        """Write a document of JSON, at once or not at all. Raises LakeError."""
        self._put(key, text.encode(), "application/json; charset=utf-8")

    def write_file(self, key: str, text: bytes) -> None:
        """Write a file of CSV, at once or not at all. Raises LakeError."""
        self._put(key, text, "text/csv; charset=utf-8")

    def _put(self, key: str, body: bytes, content_type: str) -> None:
        try:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)
        except (BotoCoreError, ClientError) as error:
            raise LakeError(f"{self.uri(key)} cannot be written: {error}") from error

    def read(self, key: str) -> Optional[str]:
        """The text of an object; None where there is none. Raises LakeError."""
        try:
            return read_text(self._client, self.bucket, key)
        except LakeError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def manifests(self, keys: Iterable[str]) -> list[Manifest]:
        """The manifests at `keys`, read side by side. Raises LakeError or DocumentError."""
        return list(self._pool.map(lambda key: Manifest.from_json(read_text(self._client, self.bucket, key)), keys))

    def files_below(self, prefix: str) -> list[File]:
        """The files in the folder `prefix`, which ends with a slash, and in all folders below it, by key."""
        found: list[File] = []
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                found += [File(each["Key"], each["Size"]) for each in page.get("Contents", ())]
        except (BotoCoreError, ClientError) as error:
            raise LakeError(f"{self.uri(prefix)} cannot be listed: {error}") from error
        return sorted((file for file in found if not file.key.endswith("/")), key=lambda file: file.key)

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

    def move(self, targets: Mapping[File, str]) -> None:
        """Move files out of staging, side by side, to keys that are free: `targets` are their new keys.

        On S3A a file may stay in staging too, until that is deleted.
        """
        list(self._pool.map(self._move, targets.keys(), targets.values()))

    def _move(self, file: File, target: str) -> None:
        if self._has_folders or file.bytes > _COPIED_AT_ONCE:
            self._rename(file.key, target)
        else:
            self._copy(file.key, target)

    def _rename(self, source: str, target: str) -> None:
        with _explained(f"{self.uri(source)} cannot be moved to {self.uri(target)}"):
            destination = self._path(self.uri(target))
            if self._has_folders:
                self._fs.mkdirs(destination.getParent())
            if not self._fs.rename(self._path(self.uri(source)), destination):
                raise LakeError(f"{self.uri(source)} could not be moved to {self.uri(target)}")

    def _copy(self, source: str, target: str) -> None:
        """One request, where a rename of S3A makes ten, one after the other."""
        try:
            self._client.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source})
        except (BotoCoreError, ClientError) as error:
            raise LakeError(f"{self.uri(source)} cannot be copied to {self.uri(target)}: {error}") from error

    def delete_files(self, keys: Collection[str]) -> None:
        """Delete files. Raises LakeError naming the first that is still there."""
        if self._has_folders:
            list(self._pool.map(self.delete, keys))
            return
        ordered = sorted(keys)
        for start in range(0, len(ordered), _DELETED_AT_ONCE):
            self._delete_objects(ordered[start : start + _DELETED_AT_ONCE])

    def _delete_objects(self, keys: Sequence[str]) -> None:
        try:
            answer = self._client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        except (BotoCoreError, ClientError) as error:
            raise LakeError(f"{self.uri(keys[0])} cannot be deleted: {error}") from error
        for refused in answer.get("Errors", ()):
            raise LakeError(f"{self.uri(refused['Key'])} cannot be deleted: {refused.get('Message')}")

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
            list(self._pool.map(self.delete, left))
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
