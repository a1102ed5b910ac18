"""The current manifests of one table, as the holder of its lock knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_scripts.contract import layout
from spark_scripts.contract.months import Partition

if TYPE_CHECKING:
    from spark_scripts.contract.manifest import Manifest
    from spark_scripts.lake.bucket import Lake


class CurrentManifests:
    """The current manifests of the table `name`: listed once, and each read once, when it is asked for.

    Nobody else writes them meanwhile; what is committed is added.
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
