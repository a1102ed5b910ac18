"""Waiting for what goes on in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_POLL_SECONDS = 0.5  # the webserver takes a good part of a core when it is asked all the time


def until(condition: Callable[[], Any], seconds: float = 120, told: Callable[[], object] = lambda: "") -> Any:
    """The result of `condition` once it is true; fails with what is `told` after `seconds`."""
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, f"not after {seconds} s: {told()}"
        time.sleep(_POLL_SECONDS)
    return found
