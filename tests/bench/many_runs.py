"""The runs of `make bench` over many small tables, each in an account of its own."""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aws_setup.local import s3a
from aws_setup.local.errors import LocalAccountError
from tests.bench.many_tables import DELAY, ROOT, ManyTables, measure_many_tables

_FAR = f"with {DELAY * 1000:.0f} ms on each request to S3, over Hadoop's S3A"
WAYS = {
    "many": ("as it is", False, False, 0.25),
    "many-one": ("one table at a time", False, True, None),
    "many-far": (_FAR, True, False, 0.6),
    "many-far-one": (f"{_FAR}, one table at a time", True, True, None),
}
"""By key: what is special about it, whether S3 is far, whether tables wait for each other, and the aim in seconds."""

_TABLES_AT_A_TIME = re.compile(r"^MOST = \d+$", re.MULTILINE)


@dataclass(frozen=True)
class ManyRuns:
    """The runs by key of WAYS. `problems` has the reason for each key that has none, `failed` those to be mended."""

    runs: dict[str, list[ManyTables]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def measure(self, keys: list[str], rounds: int, home: Path, say: Callable[[str], None]) -> None:
        """Measure each of `keys` in turn, `rounds` times; one that cannot be measured is not tried again."""
        with _one_at_a_time() as one:
            for _ in range(rounds):
                for key in keys:
                    if key not in self.problems:
                        self._measure(key, home, one, say)

    def _measure(self, key: str, home: Path, one: Path, say: Callable[[str], None]) -> None:
        _, far, alone, _ = WAYS[key]
        try:
            if far:
                s3a.jars()
            run = measure_many_tables(home, far=far, code=one if alone else ROOT)
        except s3a.JarsNotFoundError as error:
            self.problems[key] = f"not measured: {error}"
        except (RuntimeError, LocalAccountError) as error:
            self.problems[key] = f"failed: {error}"
            self.failed.add(key)
        else:
            self.runs.setdefault(key, []).append(run)
        say(f"{key}: {self.problems.get(key) or self.runs[key][-1]}")

    def has(self, key: str) -> bool:
        """Whether the key was to be measured."""
        return key in self.runs or key in self.problems

    def median(self, key: str, value: Callable[[ManyTables], float]) -> float | None:
        """The median over the runs of a key, None when there is none."""
        values = [value(run) for run in self.runs.get(key, ())]
        return statistics.median(values) if values else None


@contextmanager
def _one_at_a_time() -> Iterator[Path]:
    """A folder with this checkout's job, which ingests one table after the other."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "spark_scripts", Path(folder) / "spark_scripts")
        workers = Path(folder) / "spark_scripts" / "ingestion" / "workers.py"
        text, changed = _TABLES_AT_A_TIME.subn("MOST = 1", workers.read_text(encoding="utf-8"))
        assert changed == 1, f"{workers} no longer says how many tables the job ingests at a time"
        workers.write_text(text, encoding="utf-8")
        yield Path(folder)
