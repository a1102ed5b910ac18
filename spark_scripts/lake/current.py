"""What the raw layer holds of one table, as the holder of its lock knows it: nobody else writes it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.months import Partition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from spark_scripts.contract.manifest import File, Manifest
    from spark_scripts.lake.bucket import Lake


class CurrentManifests:
    """The current manifests of the table `name`: listed once, and each read once, when it is asked for.

    What is committed is added.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake = lake
        self._name = name
        self._listed: dict[str, Partition] = {}
        self._has_listed = False
        self._known: dict[str, Manifest] = {}

    def partitions(self) -> set[Partition]:
        """The partitions that have a manifest. Raises LakeError."""
        if not self._has_listed:
            for file in self._lake.files_below(layout.current_manifests_prefix(self._name)):
                self._listed[file.key] = layout.partition_of_current_manifest(self._name, file.key)
            self._has_listed = True
        return set(self._listed.values())

    def all(self) -> list[Manifest]:
        """The manifest of each partition. Raises LakeError or DocumentError."""
        self.partitions()
        unread = [key for key in self._listed if key not in self._known]
        self._known.update(zip(unread, self._lake.manifests(unread)))
        return [self._known[key] for key in self._listed]

    def committed(self, manifest: Manifest) -> None:
        """Add a manifest that was written."""
        key = layout.current_manifest_key(self._name, manifest.partition)
        self._known[key] = manifest
        self._listed[key] = manifest.partition


class FilesBefore:
    """The files in the folder of the table `name` before its months are published, listed once.

    The files of the month that is published first may be among them.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake = lake
        self._name = name
        self._listing: Optional[Future[dict[str, File]]] = None

    def begin(self) -> Future[dict[str, File]]:
        """Begin to list them, in a thread of the lake, unless that was begun before."""
        if self._listing is None:
            self._listing = self._lake.begin(self._list)
        return self._listing

    def _list(self) -> dict[str, File]:
        return {file.key: file for file in self._lake.files_below(layout.table_prefix(self._name))}

    def by_key(self) -> Mapping[str, File]:
        """All of them. Raises LakeError."""
        return self.begin().result()

    def unlisted(self, manifest: Manifest) -> list[str]:
        """The keys of those in the folder of the manifest's partition that it does not list. Raises LakeError."""
        folder, listed = layout.partition_prefix(self._name, manifest.partition), {each.key for each in manifest.files}
        return [key for key in self.by_key() if key.startswith(folder) and key not in listed]
