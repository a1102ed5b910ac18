"""The local account with every call in it recorded: `python -m tests.access.account HOME FILE`.

Prints its environment as one line of JSON and ends with its standard input; then it writes which key is of which role.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from aws_setup.local.account import LocalAccount
from tests.access import recorder

KEY = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
_HOOKS = Path(__file__).parent / "hooks"

# So that every statement of the roles is in the stack.
_PARAMETERS = {"KmsKeyArn": KEY, "GlueDatabase": "raw"}


def main() -> None:
    """Run the account until standard input ends."""
    home, file = map(Path, sys.argv[1:])
    os.environ |= {recorder.FILE: str(file), recorder.PROCESS: "account"}
    recorder.install()
    with LocalAccount(home, parameters=_PARAMETERS, report=_say) as account:
        # The Spark jobs get the account's environment.
        account.environment |= {recorder.FILE: str(file), recorder.PROCESS: "job", "PYTHONPATH": str(_HOOKS)}
        print(json.dumps(account.environment), flush=True)
        sys.stdin.read()
        _write_roles(file)


def _write_roles(file: Path) -> None:
    from moto.sts.models import sts_backends  # noqa: PLC0415 (moto takes seconds to import)

    assumed = [role for account in sts_backends.values() for role in account["aws"].assumed_roles]
    with file.open("a", encoding="utf-8") as lines:
        for role in assumed:
            lines.write(json.dumps({"access_key": role.access_key_id, "role": role.role_arn}) + "\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
