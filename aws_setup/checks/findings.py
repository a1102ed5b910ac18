"""The findings of checks: an error stops a deployment, a warning does not, and a note is information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """A result of the check `check`. `text` says what is wrong and what to do, and never contains a secret value."""

    check: str
    level: Literal["error", "warning", "note"]
    text: str


def error(check: str, text: str) -> Finding:
    """A finding that stops a deployment."""
    return Finding(check, "error", text)


def warning(check: str, text: str) -> Finding:
    """A finding that does not stop a deployment."""
    return Finding(check, "warning", text)


def note(check: str, text: str) -> Finding:
    """A finding about which nothing needs to be done."""
    return Finding(check, "note", text)
