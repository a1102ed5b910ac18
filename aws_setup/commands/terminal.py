"""What commands write to the terminal, and what they ask there."""

from __future__ import annotations


def say(line: str) -> None:
    """Print the line at once."""
    print(line, flush=True)


def ask(question: str) -> bool:
    """Ask the question; whether the answer is yes."""
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def agreed(_question: str) -> bool:
    """Yes, without asking: for `--yes`."""
    return True
