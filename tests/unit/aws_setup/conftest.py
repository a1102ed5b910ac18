"""A deployment against AWS's scripted answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aws_setup.cloudformation.parameters import defaults
from aws_setup.commands import preflight
from aws_setup.commands.deploy import DeployRequest, deploy, dry_run
from aws_setup.job_bundle import artifacts
from tests.unit.aws_setup.answers import STACK, known
from tests.unit.aws_setup.fakes import FakeSession

Run = Callable[..., list[str]]


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    jar = tmp_path / "postgresql-42.7.13.jar"
    jar.write_bytes(b"a driver")
    return jar


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return FakeSession()


@pytest.fixture
def parameters(driver: Path) -> dict[str, str]:
    """The parameters that a stack deployed from this checkout has."""
    built = artifacts.build(None, driver)
    return defaults() | {"BucketName": "lake", "ScriptPrefix": built.script_prefix, "DriverKey": built.driver_key}


@pytest.fixture
def run(session: FakeSession, driver: Path) -> Run:
    """Deploy (or call `act`) with these parameters; returns the reported lines after the first one."""

    def run(act: Callable[..., Any] = deploy, stack: str = STACK, **given: str) -> list[str]:
        lines: list[str] = []
        known(session)
        # The checks have tests of their own.
        act(session.typed, DeployRequest(stack, given, driver, ignore=preflight.CHECKS), lines.append)
        session.assert_all_called()
        where, *lines = lines
        assert where.endswith(
            f"stack {stack} {'in' if act is dry_run else 'to'} account 123456789012, region us-east-1"
        )
        return lines

    return run
