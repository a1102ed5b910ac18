"""Shows the progress of an execution on a terminal, or as lines in a pipe."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from spark_scripts.contract.progress import Progress

_SECONDS = 3.0  # between two reads
_BAR = 20  # characters
_CLEAR = "\r\x1b[K"


class ProgressView:
    """Passes new lines to `report`. On a terminal it also draws a progress bar and overwrites it in place."""

    def __init__(self, report: Callable[[str], None], stream: TextIO) -> None:
        self._report = report
        self._stream = stream
        self._terminal = stream.isatty()
        self._bar = ""
        self._summary = ""
        self._said = 0
        self._looked = 0.0

    def say(self, line: str) -> None:
        """Report a line and draw the bar below it."""
        self._write(_CLEAR if self._bar else "")
        self._report(line)
        self._write(self._bar)

    def look(self, read: Callable[[], Progress | None]) -> None:
        """Show what `read` returns, at most every three seconds."""
        if time.monotonic() - self._looked >= _SECONDS:
            self._looked = time.monotonic()
            self._show(read())

    def end(self, last: Progress | None) -> None:
        """Show the last progress and erase the bar."""
        self._show(last)
        self._write(_CLEAR if self._bar else "")
        self._bar = ""

    def _show(self, progress: Progress | None) -> None:
        if progress is None:
            return
        for line in progress.new_lines(self._said):
            self.say(line)
        self._said = progress.said
        if progress.summary() == self._summary:
            return
        self._summary = progress.summary()
        if self._terminal:
            self._draw(progress)
        else:
            self._report(self._summary)

    def _draw(self, progress: Progress) -> None:
        filled = round(progress.share() * _BAR)
        line = f"[{'#' * filled}{'.' * (_BAR - filled)}] {self._summary}"
        self._bar = line[: shutil.get_terminal_size().columns - 1]  # a longer line cannot be overwritten
        self._write(_CLEAR + self._bar)

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()
