"""Publishing: how a month's staged files become the month.

They are moved into the month's folder under names that carry the execution (the file of a small month is written
there), and committed by writing the manifest;
then whatever the manifest does not list is deleted. A crash at any point leaves the old month or the new one complete
under its current manifest, and the next run of the month cleans up. Readers of the bare folder may see old and new
files together for a moment, and after a crash until that next run; readers of the manifest never do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Optional

from spark_scripts.contract import layout
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.manifest import File, Manifest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.current import FilesBefore
from spark_scripts.locking.advisory import Locks


def lock_key(bucket: str, name: str) -> str:
    """The key of the lock that the one writer of the table `name` takes."""
    return f"{bucket}/{name}"


class Publisher:
    """Publishes months of a table whose lock is held, and whose folder has held `before`."""

    def __init__(self, lake: Lake, locks: Locks, before: FilesBefore) -> None:
        self._lake = lake
        self._locks = locks
        self._before = before

    def check_lock(self, table: str) -> None:
        """Raise LockedError when another execution has the lock of `table`, SourceError when it is lost."""
        self._locks.check(lock_key(self._lake.bucket, table))

    def publish(self, manifest: Manifest, text: Optional[bytes] = None) -> Manifest:
        """Make the staged files of `manifest` the content of its partition; return the manifest as it was committed.

        With `text` there is one file, of that content, which is not in staging.
        Raises LockedError or SourceError when the lock was refused or is lost: nothing is committed then.
        """
        if manifest.rows and not manifest.files:
            raise IngestionError(f"{manifest.table} {manifest.month}: the {manifest.rows} rows that were read are gone")
        self.check_lock(manifest.table)
        files = self._move(manifest) if text is None else self._write(manifest, text)
        manifest = _completed(manifest, files)
        document = manifest.to_json()
        self.check_lock(manifest.table)
        self._lake.write(
            layout.execution_manifest_key(manifest.execution, manifest.table, manifest.partition), document
        )
        self._lake.write(layout.current_manifest_key(manifest.table, manifest.partition), document)  # the commit
        self._lake.delete_files(self._before.unlisted(manifest))
        return manifest

    def _move(self, manifest: Manifest) -> tuple[File, ...]:
        moved = tuple(File(_published_key(file.key, manifest), file.bytes) for file in manifest.files)
        self._lake.move({file: to.key for file, to in zip(manifest.files, moved)})
        return moved

    def _write(self, manifest: Manifest, text: bytes) -> tuple[File, ...]:
        [file] = manifest.files
        written = File(_published_key(file.key, manifest), len(text))
        self._lake.write_file(written.key, text)
        return (written,)


def _published_key(staged: str, manifest: Manifest) -> str:
    basename = staged.rpartition("/")[2].replace(".txt", ".csv")  # Spark's text writer wrote the CSV lines
    # Readers skip names that begin with _ or a dot.
    return f"{layout.partition_prefix(manifest.table, manifest.partition)}run-{manifest.execution}-{basename}"


def _completed(manifest: Manifest, files: tuple[File, ...]) -> Manifest:
    finished = datetime.now(timezone.utc)
    seconds = (finished - datetime.fromisoformat(manifest.started)).total_seconds()
    return replace(
        manifest,
        files=files,
        seconds=round(seconds, 3),
        finished=finished.isoformat(timespec="milliseconds"),
    )
