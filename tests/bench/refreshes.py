"""Who brings up to date what it has read before: this job by a refresh, and the peers by their incremental loads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aws_setup.local.emulator.spark.logs import last_exceptions
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import UNDATED
from tests.bench import measure
from tests.bench.changes import CHANGES, SEEN_BY_CURSOR, Changes, Wrong
from tests.bench.contestants import Contestant, SparkJobs, new_folder
from tests.bench.dataset import MONTH, Dataset
from tests.bench.measure import Command
from tests.bench.peers import Peers


@dataclass(frozen=True)
class Refreshes:
    """Contestants whose target is full before they are measured. `changes` are made in between.

    `bases` is a folder for what the peers' first loads have made.
    """

    jobs: SparkJobs
    peers: Peers
    changes: Changes
    bases: Path

    def unchanged(self, key: str, label: str, dataset: Dataset) -> Contestant:
        """A refresh of the table `dataset` right after its full ingest: it must leave every month as it is."""

        def prepare(folder: Path) -> Command:
            self._ingest(folder, dataset)
            return self.jobs.command(folder, dataset, {"refresh": True})

        def delivered(folder: Path) -> int:
            return sum(each.rows for each in self._manifests(dataset) if each.execution != folder.name)

        settings = f"driver heap {self.jobs.heap}; the full ingest before it is not measured"
        return Contestant(key, label, dataset, prepare, delivered, settings, self.jobs.raw_layer, whole=False)

    def changed(self, key: str, label: str, request: dict[str, Any]) -> Contestant:
        """The job over `request` after the change. It must ingest that month alone, and nothing may be wrong."""
        dataset = self.changes.dataset

        def prepare(folder: Path) -> Command:
            self.changes.undo()
            self._ingest(folder, dataset)
            self.changes.apply()
            return self.jobs.command(folder, dataset, request)

        def delivered(folder: Path) -> int:
            ingested = [each for each in self._manifests(dataset) if each.execution == folder.name]
            return sum(each.rows for each in ingested if each.partition != UNDATED) - wrong(folder).total

        @cache
        def wrong(_: Path) -> Wrong:
            files = [str(self.jobs.bucket / file.key) for each in self._manifests(dataset) for file in each.files]
            return self.peers.compared(dataset, files)

        settings = f"driver heap {self.jobs.heap}; the full ingest and the change before it are not measured"
        target = self.jobs.raw_layer
        return Contestant(
            key, label, dataset, prepare, delivered, settings, target, "month_rows", wrong=wrong, whole=False
        )

    def dlt(self) -> Contestant:
        """dlt with a cursor: rows with a newer one are merged by their key."""
        settings = "`incremental` on the cursor, write_disposition merge by the key, connectorx backend, to DuckDB"
        return self._incremental("dlt-incremental", "dlt incremental", self.peers.dlt_incremental, settings)

    def sling(self) -> Contestant:
        """Sling with a cursor: rows with a newer one are merged by their key."""
        settings = "mode incremental with primary_key and update_key, to DuckDB"
        return self._incremental("sling-incremental", "Sling incremental", self.peers.sling_incremental, settings)

    def _incremental(
        self, key: str, label: str, command: Callable[[Dataset, Path], Command], settings: str
    ) -> Contestant:
        dataset, target, base = self.changes.dataset, self.peers.target, self.bases / key

        def prepare(folder: Path) -> Command:
            self.changes.undo()
            if not base.exists():
                _run(command(dataset, folder))
                shutil.copytree(target, base)
            shutil.copytree(base, target, dirs_exist_ok=True)
            self.changes.apply()
            return command(dataset, folder)

        @cache
        def wrong(_: Path) -> Wrong:
            return self.peers.compared_duckdb(dataset)

        def delivered(folder: Path) -> int:
            return CHANGES - wrong(folder).total

        settings = f"{settings}; the first load and the change are not measured"
        return Contestant(
            key, label, dataset, prepare, delivered, settings, target, SEEN_BY_CURSOR, wrong=wrong, whole=False
        )

    def _ingest(self, folder: Path, dataset: Dataset) -> None:
        """Ingest the whole table, beside the run that `folder` is for."""
        own = new_folder(folder.parent)
        _run(self.jobs.command(own, dataset, {}))
        shutil.rmtree(own)

    def _manifests(self, dataset: Dataset) -> Iterator[Manifest]:
        """The current manifests of the table."""
        for file in (self.jobs.bucket / layout.current_manifests_prefix(dataset.name)).iterdir():
            yield Manifest.from_json(file.read_text(encoding="utf-8"))


def one_month(dataset: Dataset) -> dict[str, Any]:
    """The input that ingests MONTH by its name."""
    return {"table": dataset.name, "months": [MONTH]}


def _run(command: Command) -> None:
    """Run what is not measured."""
    usage = measure.run(command)
    if usage.code:
        reason = last_exceptions(command.folder / "out", command.folder / "err")
        raise SystemExit(f"{command.arguments[0]} failed with {usage.code}: {reason}")
