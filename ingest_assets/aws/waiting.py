"""Waiting with a deadline: the one loop that polls.

for _ in polls(seconds=90.0, pause=0.5):
    if done():
        return
raise TimeoutError("it is not done after 90 s")
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

_GROWTH = 1.5


class Deadline:
    """The moment that is `seconds` after the deadline was made. `math.inf` seconds never pass."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """The seconds since the deadline was made."""
        return time.monotonic() - self._started

    @property
    def passed(self) -> bool:
        """Whether the moment has come."""
        return self.elapsed >= self.seconds


def polls(*, seconds: float = math.inf, pause: float, longest_pause: float | None = None) -> Iterator[float]:
    """Yield at once, then after each pause, until `seconds` have passed; the yielded value is the seconds waited.

    The loop's body runs at least once, and for the last time when the deadline has come. With `longest_pause` each
    pause is half as long again as the one before, up to `longest_pause`.
    """
    deadline = Deadline(seconds)
    yield 0.0
    while (elapsed := deadline.elapsed) < seconds:
        time.sleep(min(pause, seconds - elapsed))
        yield deadline.elapsed
        if longest_pause is not None:
            pause = min(pause * _GROWTH, longest_pause)
