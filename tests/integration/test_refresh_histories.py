"""After any history the months that a refresh leaves alone are what the database holds: no Spark, real servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.integration.histories import SESSIONS, History
from tests.integration.refreshing import Raw, Rule, Sessions, held, refresh
from tests.integration.servers import Server, embedded_programs, new_server

HISTORIES = 150
STEPS = 6

RULE = Rule(flushed=False)  # no crash here, and a flush that nobody asks for may take seconds


@pytest.fixture(scope="module", params=["pginstall", "pginstall18"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with new_server(embedded_programs(request.param), autovacuum="off") as server:
        yield server


def test_after_every_step_of_random_histories_the_raw_layer_holds_the_lines_of_the_database(server: Server) -> None:
    seen: Counter[str] = Counter()
    with ExitStack() as stack:
        sessions = stack.enter_context(Sessions.of(server.dsn))
        connections = [stack.enter_context(psycopg.connect(server.dsn, autocommit=True)) for _ in range(SESSIONS)]
        for seed in range(HISTORIES):
            seen += follow(seed, sessions, connections)
    print(dict(seen))
    assert seen["unchanged"] > seen["months"] / 4  # else it proves little
    assert seen["changed"] > seen["months"] / 4


def follow(seed: int, sessions: Sessions, connections: list[psycopg.Connection[tuple[object, ...]]]) -> Counter[str]:
    """Refresh after each step of a history, and compare all lines."""
    print(f"seed {seed}")
    history, raw, seen = History(seed, connections), Raw(), Counter[str]()
    try:
        for _ in range(STEPS):
            history.log.append("-- refresh")
            done = refresh(sessions, history.table, raw, RULE, history.around, history.write)
            history.log.append(f"-- changed: {done.changed}; unchanged: {done.unchanged}")
            assert held(raw) == done.truth, "\n".join([f"seed {seed}, {history.kind}:", *history.log])
            seen += Counter(changed=len(done.changed), unchanged=len(done.unchanged))
            seen["months"] += len(done.changed) + len(done.unchanged)
            history.step()
    finally:
        history.end()
    return seen
