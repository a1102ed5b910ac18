"""Random histories of a table, refreshed by the whole job after each step, and compared with the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import Partition
from spark_scripts.contract.tables import Table
from tests.integration.conftest import Account
from tests.integration.histories import SESSIONS, History
from tests.integration.published import Run
from tests.integration.refreshing import Session, relation_of, whole_table
from tests.integration.test_refresh import findings, kept

HISTORIES = 10
STEPS = 4


@pytest.fixture
def connections(account: Account) -> Iterator[list[psycopg.Connection[tuple[object, ...]]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(account.source_dsn, autocommit=True)) for _ in range(SESSIONS)]


def test_after_every_refresh_of_random_histories_the_files_hold_the_lines_of_the_database(
    run: Run, bucket: Path, account: Account, connections: list[psycopg.Connection[tuple[object, ...]]]
) -> None:
    seen: Counter[str] = Counter()
    with psycopg.connect(account.source_dsn, autocommit=True) as connection:
        session = Session(connection)
        for seed in range(HISTORIES):
            print(f"seed {seed}")
            history = History(seed, connections)
            try:
                for step in range(STEPS):
                    table = replace(history.table, name=f"history_{seed}", allow_empty=True)
                    seen += refreshed(run, bucket, f"seed-{seed}-step-{step}", table)
                    assert held(bucket, table) == truth(session, table), f"seed {seed}: {history.log}"
                    connection.execute("ROLLBACK")
                    history.step()
            finally:
                history.end()
    connections[0].execute("DROP SCHEMA h CASCADE")
    print(dict(seen))
    assert seen["unchanged"] > HISTORIES * STEPS / 2  # else it proves little
    assert seen["changed"] > HISTORIES * STEPS / 2


def refreshed(run: Run, bucket: Path, execution: str, table: Table) -> Counter[str]:
    """Refresh the table; what is unchanged kept its files, what changed has new ones."""
    before = {each: kept(bucket, table, each) for each in partitions(bucket, table)}
    run(execution, table, refresh=True)
    found = findings(bucket, execution, table)
    for key in found.unchanged:
        each = Partition.of_key(key)
        assert kept(bucket, table, each) == before[each]
    assert found.changed.keys() == {each.month for each in manifests(bucket, table) if each.execution == execution}
    return Counter(changed=len(found.changed), unchanged=len(found.unchanged))


def manifests(bucket: Path, table: Table) -> list[Manifest]:
    folder = bucket / layout.current_manifests_prefix(table.name)
    return [Manifest.from_json(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")]


def partitions(bucket: Path, table: Table) -> list[Partition]:
    return [each.partition for each in manifests(bucket, table)]


def held(bucket: Path, table: Table) -> dict[int, list[str]]:
    """The lines of the manifests' files by the first day of their month, sorted."""
    lines: dict[int, list[str]] = {}
    for each in manifests(bucket, table):
        texts = [(bucket / file.key).read_text(encoding="utf-8") for file in each.files]
        lines[each.partition.epoch_day] = sorted(line for text in texts for line in text.splitlines()[1:])
    return {day: found for day, found in lines.items() if found}


def truth(session: Session, table: Table) -> dict[int, list[str]]:
    """The lines that the database holds now."""
    session.begin()
    lines = whole_table(session, table, relation_of(session, table))
    return {day: list(found) for day, found in lines.items()}
