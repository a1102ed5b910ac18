"""What a check found: an error stops a deployment, a warning does not, and a note is for information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`text` says what is wrong and what to do. It never holds a secret value."""

    check: str
    level: Literal["error", "warning", "note"]
    text: str


def error(check: str, text: str) -> Finding:
    """A finding that stops a deployment."""
    return Finding(check, "error", text)


def warning(check: str, text: str) -> Finding:
    """A finding that does not."""
    return Finding(check, "warning", text)


def note(check: str, text: str) -> Finding:
    """What was found, with nothing wrong in it."""
    return Finding(check, "note", text)
