from __future__ import annotations

import math
from itertools import islice

import pytest

from ingest_assets.aws.waiting import Deadline, polls


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("time.sleep", clock.sleep)
    return clock


def test_the_first_look_is_at_once_and_the_last_at_the_deadline(clock: Clock) -> None:
    assert list(polls(seconds=5.0, pause=2.0)) == [0.0, 2.0, 4.0, 5.0]
    assert clock.pauses == [2.0, 2.0, 1.0]


def test_a_deadline_of_no_seconds_allows_one_look(clock: Clock) -> None:
    assert list(polls(seconds=0.0, pause=2.0)) == [0.0]
    assert clock.pauses == []


def test_a_look_that_takes_longer_than_the_deadline_is_the_last(clock: Clock) -> None:
    looks = []
    for waited in polls(seconds=5.0, pause=1.0):
        looks.append(waited)
        clock.now += 10.0
    assert looks == [0.0]


def test_pauses_grow_up_to_the_longest(clock: Clock) -> None:
    list(polls(seconds=100.0, pause=2.0, longest_pause=5.0))
    assert clock.pauses[:4] == [2.0, 3.0, 4.5, 5.0]


def test_without_a_deadline_the_looks_do_not_end(clock: Clock) -> None:
    assert list(islice(polls(pause=1.0), 10_000))[-1] == 9999.0


def test_a_deadline_passes_when_its_seconds_have_passed(clock: Clock) -> None:
    deadline, never = Deadline(3.0), Deadline(math.inf)
    clock.now += 2.9
    assert not deadline.passed
    clock.now += 0.1
    assert deadline.passed
    assert not never.passed
    assert deadline.elapsed == pytest.approx(3.0)
