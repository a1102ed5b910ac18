"""The order of the tests, and which of them stay together when workers of pytest-xdist share them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from tests.integration.conftest import Account

# tests/s3a/ before others with a Spark in this process: a process has one JVM, and theirs lacks S3A.
LONGEST_FIRST = ("tests/e2e/", "tests/access/", "tests/s3a/")
TOGETHER = ("tests/e2e/", "tests/s3a/")
SHORT_LAST = ("tests/bench/", "tests/unit/")  # they keep the one worker busy until the other has ended

JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"
"""For the JVM of each Spark of the tests: C1 alone takes a job of one month from 7.0 to 5.1 CPU seconds."""


class Modules(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """A module's tests stay together, for their servers; so do all of a folder that has one account for them."""

    def _split_scope(self, nodeid: str) -> str:
        return next(filter(nodeid.startswith, TOGETHER), nodeid.partition("::")[0])


def pytest_configure() -> None:
    os.environ.setdefault("SPARK_SUBMIT_OPTS", JAVA_OPTIONS)  # which the local account hands on to its jobs


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Modules:
    config.option.loadscopereorder = False  # it would be by the number of tests
    return Modules(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    """0 for what is neither long nor short."""
    for rank, prefix in enumerate(LONGEST_FIRST, start=-len(LONGEST_FIRST)):
        if nodeid.startswith(prefix):
            return rank
    return 1 + SHORT_LAST.index(found) if (found := next(filter(nodeid.startswith, SHORT_LAST), None)) else 0


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The local account of a worker's tests of integration and contract; this process's environment leads to it."""
    from tests.integration.conftest import running_account  # noqa: PLC0415 (unit tests need no Spark)

    with running_account(tmp_path_factory.mktemp("account")) as account:
        yield account
