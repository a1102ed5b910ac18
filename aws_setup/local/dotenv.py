"""A `.env` file in the working directory that would lead a command away from the local account."""

from __future__ import annotations

import re
from pathlib import Path

from aws_setup.local.errors import DotenvError

_ASSIGNMENT = re.compile(
    r"\s*(?:export\s+)?['\"]?(AWS_\w+|DAGSTER_HOME|INGEST_STACK|INGEST_TABLES|INGEST_CONSOLE_URL)['\"]?\s*(?:=|$)"
)


def refuse_dotenv(folder: Path) -> None:
    """Raise DotenvError when `folder/.env` sets a variable that the local account sets.

    `dagster dev` lets the `.env` of its working directory override the environment: it would reach real AWS.
    """
    file = folder / ".env"
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = dict.fromkeys(match[1] for line in lines if (match := _ASSIGNMENT.match(line)))
    if names:
        raise DotenvError(
            f"{file} sets {', '.join(names)}, which `dagster dev` prefers to the local account's: "
            "rename the file or take these lines out while you use `local`"
        )
