"""The environment variables of a command in the local account."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

REGION = "us-east-1"


def aws_variables(access_key: str, secret_key: str) -> dict[str, str]:
    """The variables that make AWS's SDKs use these keys and ignore the user's own settings."""
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **_without_proxy(os.environ),
    }


def foreign(variables: Mapping[str, str]) -> list[str]:
    """The AWS_* variables of this process that `variables` does not set, such as AWS_PROFILE and AWS_SESSION_TOKEN."""
    return sorted(name for name in os.environ if name.startswith("AWS_") and name not in variables)


@contextlib.contextmanager
def applied(variables: Mapping[str, str]) -> Iterator[None]:
    """Set `variables` in this process, remove other AWS_* variables, and undo both at the end."""
    before = {name: os.environ.get(name) for name in (*variables, *foreign(variables))}
    for name in foreign(variables):
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def with_own_programs(environ: Mapping[str, str], also: Path | None = None) -> dict[str, str]:
    """`environ` with this Python's virtual environment first on PATH, so that `dagster` is the one installed there.

    The folder `also` comes last on PATH.
    """
    folders = [str(Path(sys.executable).parent), environ.get("PATH", os.defpath), *([str(also)] if also else [])]
    return {**environ, "PATH": os.pathsep.join(folders)}


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep requests to the loopback address from going through a proxy."""
    listed = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    hosts = [host for host in listed.split(",") if host]
    value = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return {"NO_PROXY": value, "no_proxy": value}
