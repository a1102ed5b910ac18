"""The local account with every call in it recorded: `python -m tests.access.account HOME FILE`.

Prints its environment as one line of JSON and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from aws_setup.local.account import LocalAccount
from tests.access import recorder

_HOOKS = Path(__file__).parent / "hooks"


def main() -> None:
    """Run the account until standard input ends."""
    home, file = map(Path, sys.argv[1:])
    os.environ |= {recorder.FILE: str(file), recorder.PROCESS: "account"}
    recorder.install()
    with LocalAccount(home, report=lambda line: print(line, file=sys.stderr, flush=True)) as account:
        # The Spark jobs get the account's environment.
        account.environment |= {recorder.FILE: str(file), recorder.PROCESS: "job", "PYTHONPATH": str(_HOOKS)}
        print(json.dumps(account.environment), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
