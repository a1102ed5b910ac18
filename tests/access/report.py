"""`python -m tests.access.report`: what each principal did in a whole run, and the statement that allows it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.access.run import Run, record


def rows(run: Run) -> Iterator[tuple[str, str, str, str]]:
    """Principal, action, owner and Sid of the statement, and the source where the call was not recorded."""
    found = [(request, "recorded") for _, request in run.recorded]
    found += [(one.request, one.source) for one in run.unseen]
    for request, source in found:
        owner, sid = run.policies.allowing(request) or ("", "DENIED")
        statement = sid if owner == request.principal else f"{owner}.{sid}"
        yield request.principal, request.action, statement, source


def main() -> None:
    """Print the table in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        run = record(Path(folder))
    print("| principal | action | statement | how it is known |\n| --- | --- | --- | --- |")
    for row in sorted(set(rows(run))):
        print("|", " | ".join(row), "|")


if __name__ == "__main__":
    main()
