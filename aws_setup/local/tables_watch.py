"""Uploads a changed tables.yaml to the running account, so that no deployment is needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError

from ingest_assets.tables import TablesError, load_tables
from spark_scripts.contract.layout import TABLES_KEY
from spark_scripts.contract.tables import tables_to_json

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_POLL_SECONDS = 1.0


class TablesWatch(contextlib.AbstractContextManager["TablesWatch"]):
    """Uploads the tables of the file `path` to `bucket` after each change, and reports the upload or the error."""

    def __init__(self, path: Path, client: S3Client, bucket: str, report: Callable[[str], None]) -> None:
        self._path, self._client, self._bucket, self._report = path, client, bucket, report
        self._seen = self._stamp()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tables", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            stamp = self._stamp()
            if stamp not in (self._seen, None):
                self._seen = stamp
                self._upload()

    def _upload(self) -> None:
        try:
            listed = tables_to_json(table.to_table() for table in load_tables(self._path))
            self._client.put_object(Bucket=self._bucket, Key=TABLES_KEY, Body=listed.encode())
        except (TablesError, ClientError, BotoCoreError) as error:
            self._report(f"{self._path} has changed, but jobs still use the old tables: {error}")
        else:
            self._report(f"{self._path} has changed, and jobs use the new tables: reload the definitions in Dagster")

    def _stamp(self) -> tuple[int, int] | None:
        """Modification time and inode, which differ after a change. None while an editor replaces the file."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
