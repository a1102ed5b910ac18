"""What the source database does for a contestant: processor time and blocks read."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.bench.dataset import Dataset

_QUIET_SECONDS = 10.0
_BLOCKS = (
    "SELECT coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0)"
    " + coalesce(idx_blks_hit, 0) + coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0)"
    " + coalesce(tidx_blks_read, 0) + coalesce(tidx_blks_hit, 0)"
    " FROM pg_statio_user_tables WHERE relid = %s::regclass"
)
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE ANY (%s) AND pid <> pg_backend_pid()"


@dataclass(frozen=True)
class Load:
    """Processor seconds of all server processes, and blocks of the table, its index and its TOAST table."""

    cpu: float
    blocks: int

    def __sub__(self, before: Load) -> Load:
        return Load(self.cpu - before.cpu, self.blocks - before.blocks)


class Server:
    """The running server over the folder `data`; `connection` stays idle between readings."""

    def __init__(self, data: Path, connection: psycopg.Connection[Any]) -> None:
        self._postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        self._connection = connection

    def load(self, dataset: Dataset) -> Load:
        """What was done so far, as soon as no client is connected: a backend reports its blocks at its end."""
        self._wait_until_quiet()
        row = self._connection.execute(_BLOCKS, [dataset.relation]).fetchone()
        assert row is not None
        return Load(self._cpu(), row[0])

    def _wait_until_quiet(self) -> None:
        deadline = time.monotonic() + _QUIET_SECONDS
        kinds = ["client backend", "parallel worker", "autovacuum worker"]
        while True:
            others = self._connection.execute(_OTHERS, [kinds]).fetchone()
            if others == (0,):
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"{others} connections to the source do not end: is another program using it?")
            time.sleep(0.02)

    def _cpu(self) -> float:
        """The postmaster has the time of the backends that have ended, the living have their own."""
        while True:
            living = self._postmaster.children()
            with contextlib.suppress(psutil.NoSuchProcess):
                times = [process.cpu_times() for process in living]
                own = self._postmaster.cpu_times()
                if self._postmaster.children() == living:  # else one that ended in between may be missing or twice
                    ended = float(own.children_user + own.children_system)
                    return ended + sum(float(each.user + each.system) for each in [own, *times])
