"""The page of `make bench` from figures that are known."""

from __future__ import annotations

from pathlib import Path

from tests.bench import report
from tests.bench.changes import Wrong
from tests.bench.contestants import Contestant
from tests.bench.dataset import Dataset, Facts
from tests.bench.many_runs import ManyRuns
from tests.bench.measure import Command, Usage
from tests.bench.results import Results, Run
from tests.bench.server import Load

TABLE = Dataset(1_000, tracked=True)


def contestant(key: str) -> Contestant:
    return Contestant(key, f"the contestant {key}", TABLE, _no_command, lambda _: 0, "none", whole=False)


def _no_command(_: Path) -> Command:
    raise NotImplementedError


def page(seconds: dict[str, list[float]], wrong: Wrong) -> list[str]:
    results = Results({TABLE: Facts(1_000, 40, 450, 200_000, 25)})
    for key, each in seconds.items():
        for taken in each:
            usage = Usage(code=0, seconds=taken, memory=1 << 30, cpu=taken)
            results.add(contestant(key), Run(usage, Load(1.0, 25), 0, None, wrong))
    return report.page(results, ManyRuns(), {"Python": "3"}, 3).splitlines()


def test_the_page_has_ratios_of_medians_and_what_is_wrong_afterwards() -> None:
    lines = page({"refresh-one": [7.0, 6.0, 60.0], "month-changed": [5.0, 4.0, 50.0]}, Wrong(2, 4, 5, 0))
    assert "| refresh with one month of 24 changed vs that month by its name | - | 1.20 | 1.40 | 1.33 |" in lines
    wrong = "11 (2 missing, 4 with old values, 5 that the database no longer has)"
    assert f"| the contestant refresh-one | 7.00 | {wrong} |" in lines


def test_the_page_has_the_cost_of_the_schedules_ticks() -> None:
    lines = page({"trailing": [41.0], "refresh-none": [6.0]}, Wrong(0, 0, 0, 0))
    [before] = [line for line in lines if "newest 11 months again" in line]
    # 41 s of the job and 1 s of the server, 6 s of start: 18 s of two cores for each of 100 tables, twice. That is an
    # hour of 2 vCPU and 7 GB.
    assert before.endswith("| 18.0 | 60.0 | $0.146 |")
