"""Refuses a `.env` file in the working directory that would make a command use another AWS account."""

from __future__ import annotations

import re
from pathlib import Path

from aws_setup.local.errors import DotenvError

_ASSIGNMENT = re.compile(
    r"\s*(?:export\s+)?['\"]?(AWS_\w+|DAGSTER_HOME|INGEST_STACK|INGEST_TABLES|INGEST_CONSOLE_URL)['\"]?\s*(?:=|$)"
)


def refuse_dotenv(folder: Path) -> None:
    """Raise DotenvError when `folder/.env` sets a variable that the local account sets.

    In `dagster dev` the `.env` of the working directory overrides the environment, so it would reach real AWS.
    """
    file = folder / ".env"
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = dict.fromkeys(match[1] for line in lines if (match := _ASSIGNMENT.match(line)))
    if names:
        raise DotenvError(
            f"{file} sets {', '.join(names)}, and `dagster dev` would use these instead of the local account's: "
            "rename the file, or remove these lines while you use `local`"
        )
