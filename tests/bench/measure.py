"""A process measured whole: wall time, peak of memory, processor time of it and all its descendants."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from aws_setup.local.processes.child import Child

EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Command:
    """What to run in which folder, where its output goes too: `out` and `err`."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Usage:
    """What a process tree took. `memory` is the peak of the summed resident sets."""

    code: int
    seconds: float
    memory: int
    cpu: float


def run(command: Command) -> Usage:
    """Run the command to its end. It ends with this process too."""
    folder = command.folder
    with (folder / "out").open("wb") as stdout, (folder / "err").open("wb") as stderr:
        started = time.monotonic()
        child = Child(command.arguments, env=command.environment, cwd=folder, stdout=stdout, stderr=stderr)
        with child, _Sampler(child.pid) as sampler:
            code = child.wait()
            seconds = time.monotonic() - started
    return Usage(code, seconds, sampler.memory, sum(sampler.cpu.values()))


class _Sampler:
    """Watches the tree below the process `top`, itself left out: the guard of `Child` is no contestant's."""

    def __init__(self, top: int) -> None:
        self.memory = 0
        self.cpu: dict[int, float] = {}
        self._top = top
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._top)
            while not self._ended.wait(EVERY_SECONDS):
                self._sample(top.children(recursive=True))

    def _sample(self, processes: list[psutil.Process]) -> None:
        resident = 0
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
                resident += process.memory_info().rss
                times = process.cpu_times()
                self.cpu[process.pid] = times.user + times.system
        self.memory = max(self.memory, resident)
