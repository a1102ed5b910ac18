from itertools import pairwise

import pytest

from aws_setup.cloudformation import template
from ingest_assets.aws.cost import LIST_PRICES, Usage, workers
from ingest_assets.aws.estimate import Estimate, Past, Work, duration, estimate, nothing_known

MB = 10**6
WORKERS = Usage(8, 28)
HOURLY = WORKERS.usd(LIST_PRICES)
YEARS = Work(("orders",), months=24, new=0, rows=4_012_345, bytes=800 * MB)


def estimated(work: Work, *past: Past) -> Estimate:
    found = estimate(work, past, WORKERS, LIST_PRICES)
    assert found is not None
    return found


def test_the_line_through_executions_of_several_sizes_gives_the_seconds() -> None:
    past = [Past(100 * MB, 160, 200, 300), Past(200 * MB, 260, 300, 390), Past(400 * MB, 460, 510, 620)]
    found = estimated(YEARS, *past)
    reading = 60 + 800  # a minute, and a second per MB
    assert found.seconds == pytest.approx(reading + 40 + 100)  # with the medians of the rest of the job, and around it
    assert found.usd == pytest.approx(HOURLY * (reading + 40) / 3600)


def test_the_sentence_names_months_table_rows_time_and_dollars() -> None:
    found = estimated(YEARS, Past(800 * MB, 450, 480, 540))
    assert str(found) == "24 months of orders, about 4,000,000 rows: about 9 minutes, $0.08"


def test_executions_of_one_size_are_taken_in_proportion() -> None:
    found = estimated(YEARS, Past(200 * MB, 50, 60, 80), Past(210 * MB, 52, 62, 82))
    assert found.seconds == pytest.approx(199 + 10 + 20, abs=1)  # what is not reading stays as it is


def test_less_data_than_ever_takes_no_less_time_than_the_shortest_execution() -> None:
    small = Work(("orders",), months=1, new=0, rows=10, bytes=1000)
    assert estimated(small, Past(200 * MB, 50, 60, 80)).seconds == 80


def test_more_data_never_takes_less_time() -> None:
    past = [Past(100 * MB, 90), Past(900 * MB, 60)]  # the larger one ran on a quieter machine
    sizes = [Work(("orders",), 1, 0, 1, size) for size in (MB, 100 * MB, 10_000 * MB)]
    seconds = [estimated(work, *past).seconds for work in sizes]
    assert all(before <= after for before, after in pairwise(seconds))
    assert min(seconds) > 0


def test_executions_that_step_functions_has_forgotten_give_the_time_of_reading_and_say_so() -> None:
    found = estimated(YEARS, Past(800 * MB, 480))
    assert str(found) == (
        "24 months of orders, about 4,000,000 rows: about 8 minutes of reading (how long the start takes is not known"
        " yet), $0.08"
    )


def test_the_sentence_says_which_months_were_never_ingested() -> None:
    some = Work(("orders",), months=24, new=3, rows=240, bytes=800 * MB)
    assert str(estimated(some, Past(800 * MB, 450, 480, 540))).startswith(
        "24 months of orders (3 of them never ingested, taken as average months), about 240 rows: about 9 minutes"
    )


def test_without_any_execution_nothing_is_claimed() -> None:
    first = Work(("orders",), months=2, new=2, rows=0, bytes=0)
    assert estimate(first, [], WORKERS, LIST_PRICES) is None
    assert nothing_known(first) == (
        "2 months of orders (never ingested): how long it takes and what it costs is not known before a first execution"
    )


def test_a_worker_is_billed_for_a_minute_at_least() -> None:
    assert estimated(YEARS, Past(800 * MB, 5, 10, 20)).usd == pytest.approx(HOURLY / 60)


def test_the_workers_are_those_of_the_stacks_parameters() -> None:
    defaults = {name: str(about.get("Default", "")) for name, about in template.parameters().items()}
    assert workers(defaults) == WORKERS


def test_how_far_it_was_off_has_a_sign() -> None:
    found = estimated(YEARS, Past(800 * MB, 450, 480, 540))
    assert found.against(594, 0.09) == "estimated about 9 minutes and $0.08; took 10 minutes and $0.09 (+10 % in time)"
    assert found.off_percent(270) == pytest.approx(-50)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 second"), (89, "89 seconds"), (90, "2 minutes"), (3600, "60 minutes"), (9000, "2.5 hours")],
)
def test_a_duration_has_the_unit_that_people_use(seconds: float, text: str) -> None:
    assert duration(seconds) == text
