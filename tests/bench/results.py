"""What was measured: the runs of every contestant, and their medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench.changes import Wrong
from tests.bench.contestants import Contestant
from tests.bench.dataset import BLOCK, Dataset, Facts
from tests.bench.measure import Usage
from tests.bench.server import Load

MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """One run of a contestant.

    `size` is what it delivered in bytes, 0 where that is not known. `problem` says what went wrong. `wrong` are the
    rows that differ from the database afterwards, where they were compared.
    """

    usage: Usage
    load: Load
    size: int
    problem: str | None
    wrong: Wrong | None = None

    def __str__(self) -> str:
        return (
            f"{self.usage.seconds:.2f} s, {self.usage.memory // MIB} MiB, {self.usage.cpu:.1f} CPU s,"
            f" server {self.load.cpu:.1f} CPU s and {self.load.blocks} blocks, delivered {self.size / 1e6:.0f} MB"
            f"{'' if self.wrong is None else f', rows wrong: {self.wrong}'}"
            f"{'' if self.problem is None else f' - FAILED: {self.problem}'}"
        )


@dataclass
class Results:
    """The runs of every contestant over tables with these facts."""

    facts: Mapping[Dataset, Facts]
    entrants: dict[str, Contestant] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, entrant: Contestant, run: Run) -> None:
        """Note a run."""
        self.entrants[entrant.key] = entrant
        self.runs.setdefault(entrant.key, []).append(run)

    @property
    def failed(self) -> bool:
        """Whether anything failed that was not known to."""
        return any(run.problem for key, runs in self.runs.items() for run in runs if not self.entrants[key].may_fail)

    def whole(self, key: str) -> list[Run]:
        """The runs that did not fail."""
        return [run for run in self.runs.get(key, []) if run.problem is None]

    def problem(self, key: str) -> str | None:
        """Why the contestant has no whole run, when it has none."""
        return None if self.whole(key) else next((run.problem for run in self.runs.get(key, [])), "was not run")

    def median(self, key: str, value: Callable[[Run], float]) -> float | None:
        """The median over the runs that did not fail, None when there is none."""
        values = [value(run) for run in self.whole(key)]
        return statistics.median(values) if values else None

    def seconds(self, key: str) -> float | None:
        """The median wall time."""
        return self.median(key, lambda run: run.usage.seconds)

    def ratio(self, key: str, base: str) -> float | None:
        """One median wall time as a multiple of another."""
        seconds, unit = self.seconds(key), self.seconds(base)
        return seconds / unit if seconds is not None and unit is not None else None

    def cpu_ratio(self, key: str, base: str) -> float | None:
        """One median of the CPU seconds of contestant and server together as a multiple of another."""
        mine, its = (self.median(each, lambda run: run.usage.cpu + run.load.cpu) for each in (key, base))
        return mine / its if mine is not None and its else None

    def blocks(self, key: str) -> float | None:
        """Blocks read from the source, as a multiple of the table's."""
        blocks = self.median(key, lambda run: run.load.blocks)
        return None if blocks is None else blocks / self.facts[self.entrants[key].dataset].blocks

    def read_per_byte(self, key: str) -> float | None:
        """Bytes of blocks read from the source for each byte delivered, None where that number is not known."""
        if not self.entrants[key].whole:
            return None
        return self.median(key, lambda run: run.load.blocks * BLOCK / run.size)
