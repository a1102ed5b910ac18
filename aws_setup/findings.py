"""What a check found: an error stops a deployment, a warning does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`text` says what is wrong and what to do. It never holds a secret value."""

    check: str
    level: Literal["error", "warning"]
    text: str


def error(check: str, text: str) -> Finding:
    """A finding that stops a deployment."""
    return Finding(check, "error", text)


def warning(check: str, text: str) -> Finding:
    """A finding that does not."""
    return Finding(check, "warning", text)
