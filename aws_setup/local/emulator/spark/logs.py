"""The log files of a Spark driver, in the form in which EMR Serverless writes them under LogUri."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

_EXCEPTION = re.compile(r"^(?:Exception in thread |Caused by: )?[\w$.]*(?:Error|Exception|Interrupt)\b")
_LOG_LINE = re.compile(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d ")  # Spark's own log, not the text of an error
_TAIL_BYTES = 100_000


class GzippedCopy:
    """A compressed copy of a growing text file.

    Each `update` appends a gzip member, so that the copy is always a readable gzip file.
    """

    def __init__(self, source: Path, copy: Path) -> None:
        self._source = source
        self._copy = copy
        self._read = 0

    def update(self) -> None:
        """Append what was written since the last call. The first call creates the copy, even an empty one."""
        with self._source.open("rb") as source:
            source.seek(self._read)
            new = source.read()
        if not new and self._copy.exists():
            return
        self._copy.parent.mkdir(parents=True, exist_ok=True)
        with self._copy.open("ab") as copy:
            copy.write(gzip.compress(new))
        self._read += len(new)


def last_exceptions(stdout: Path, stderr: Path, most: int = 3) -> str:
    """The last lines of a driver's output that name an error, newest first. The newest says why the job ended.

    Spark's PythonRunner redirects the stderr of a Python driver to the stdout of spark-submit, so errors of the job are
    in stdout, and errors of the JVM are in stderr.
    """
    found = _exceptions(stderr) + _exceptions(stdout)
    return "\n".join(dict.fromkeys(reversed(found[-most:])))


def _exceptions(file: Path) -> list[str]:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        lines = opened.read().decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if _EXCEPTION.match(line) and not _LOG_LINE.match(line)]
