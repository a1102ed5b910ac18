"""What differs between two states of a month, in words."""

import json
from dataclasses import replace

import pytest

from spark_scripts.contract.source_state import SourceState, difference

SERVER = {"system": "7", "role": "primary", "timeline": "00000001", "fsync": "on", "started": "08:00", "relation": "5"}
STATE = SourceState(7949, "12", SERVER, {"columns": "a", "entry": "b"})


def of_server(**facts: str) -> SourceState:
    return replace(STATE, server={**SERVER, **facts})


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (replace(STATE, rows=7951, ids="13"), "rows 7,949 → 7,951"),
        (replace(STATE, rows=7951), "rows 7,949 → 7,951"),
        (replace(STATE, ids="13"), "newer rows among 7,949 rows"),
        (replace(STATE, definition={"columns": "c", "entry": "d"}), "columns"),
        (replace(STATE, definition={"columns": "a", "entry": "d"}), "entry in tables.yaml"),
        (replace(STATE, definition={"columns": "a"}), "entry in tables.yaml"),
        (replace(of_server(system="8"), rows=1), "another server"),
        (of_server(started="09:00"), "the server was restarted"),
        (of_server(timeline="00000002"), "another timeline: a standby was promoted, or a backup restored"),
        (of_server(unheard="x"), "unheard"),
        (STATE, None),
    ],
)
def test_the_first_difference_is_told(now: SourceState, reason: str) -> None:
    assert difference(STATE, now) == reason


def test_a_month_without_a_recorded_state_has_changed() -> None:
    assert difference(None, STATE) == "no state was recorded"


@pytest.mark.parametrize(("facts", "trusted"), [({}, True), ({"role": "standby"}, False), ({"fsync": "off"}, False)])
def test_a_restart_is_trusted_only_of_a_primary_that_flushes(facts: dict[str, str], trusted: bool) -> None:
    then, now = of_server(**facts), of_server(**facts, started="09:00")
    assert (difference(then, now, trust_restarts=True) is None) == trusted


def test_a_state_survives_json_and_any_other_form_is_none() -> None:
    document = json.loads(json.dumps(STATE.to_document()))
    assert SourceState.of_document(document) == STATE
    others: list[object] = [None, [], {}, {**document, "more": 1}, {**document, "rows": "1"}]
    for other in [*others, {**document, "server": None}]:
        assert SourceState.of_document(other) is None
