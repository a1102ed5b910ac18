"""Programs that look for something on this machine or fetch it, and may take only so long."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def succeeds(command: Sequence[str | Path], folder: Path, seconds: float, environ: Mapping[str, str]) -> bool:
    """Run `command` in `folder` without its output; whether it ended with exit code 0 within `seconds`.

    A command that takes longer is killed, and so are the processes that it started: spark-submit is a shell script
    above a JVM. False as well when there is no such program.
    """
    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603 (a list, no shell)
            command, cwd=folder, env=environ, stdin=nothing, stdout=nothing, stderr=nothing, process_group=0
        )
    except OSError:
        return False
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:  # also on Ctrl-C, which does not reach another process group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
