"""How reads are cut into slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.months import UNDATED, Month, Partition
from spark_scripts.contract.tables import Table
from spark_scripts.postgres import slicing
from spark_scripts.postgres.counts import Count
from spark_scripts.postgres.slicing import SlicePlan
from spark_scripts.postgres.source import Relation
from spark_scripts.postgres.sql import DateColumn

if TYPE_CHECKING:
    from spark_scripts.postgres.connection import Connection

DATE = DateColumn("at", "timestamp without time zone", "UTC")
WIDTH = 100


class Planner:
    """A connection whose planner gives every read the same cost."""

    def plan(self, _query: str) -> dict[str, Any]:
        return {"Total Cost": 1.0, "Plan Width": WIDTH}


def plan(
    counts: list[Count], *, blocks: int = 100_000, cores: int = 2, by_ctid: bool = True, **entry: Any
) -> SlicePlan:
    table, connection = Table("t", "public.t", "at", "2024-01", **entry), cast("Connection", Planner())
    relation = Relation('"public"."t"', (), DATE, by_ctid, blocks=blocks)
    return SlicePlan.chosen(connection, table, relation, counts, "TRUE", cores=cores, full=True)


def sliced(counts: list[Count], **situation: Any) -> list[slicing.Slice]:
    return plan(counts, **situation).slices(counts)


def month(number: int, rows: int, first_block: int = 0, last_block: int = 99_999) -> Count:
    return Count(Month(2024, number), rows, first_block=first_block, last_block=last_block)


def months_of(one: slicing.Slice) -> list[str]:
    return [Partition.of_epoch_day(day).key for day in one.days]


def test_ranges_of_blocks_leave_no_gap_and_no_end() -> None:
    conditions = [one.condition for one in sliced([month(1, 10**6)], slices=3)]
    block = "(sliced OPERATOR(pg_catalog.{}) '({},0)'::pg_catalog.tid)".format
    assert conditions == [
        f"{block('>=', 0)} AND {block('<', 33333)}",
        f"{block('>=', 33333)} AND {block('<', 66666)}",
        block(">=", 66666),
    ]


def test_a_slice_names_the_months_whose_blocks_it_reads() -> None:
    counts = [month(1, 10**6, 0, 49_999), month(2, 10**6, 49_999, 50_000), month(3, 10**6, 50_000, 99_999)]
    assert [months_of(one) for one in sliced(counts, slices=2)] == [["2024-01", "2024-02"], ["2024-02", "2024-03"]]


def test_the_cores_are_filled_and_a_small_table_is_one_slice() -> None:
    assert len(sliced([month(1, 10**6)], cores=4)) == 4 * slicing.SLICES_PER_CORE
    assert len(sliced([month(1, 10)], blocks=slicing.MIN_BLOCKS, cores=4)) == 1
    assert len(sliced([month(1, 10)], blocks=0)) == 1


def test_more_slices_where_files_would_be_larger_than_their_target() -> None:
    rows = 100 * slicing.TARGET_FILE_BYTES // WIDTH
    assert len(sliced([month(1, rows)], blocks=10**6)) == 100
    mixed = [month(number, rows // 10, 0, 10**6 - 1) for number in range(1, 11)]
    assert len(sliced(mixed, blocks=10**6)) == 10  # each slice writes a file for each of the ten months


@pytest.mark.parametrize("cores", [2, 16])
def test_slices_by_date_fill_the_cores_in_the_proportion_of_the_rows(cores: int) -> None:
    counts = [month(1, 3_000_000), month(2, 1_000_000), month(3, 10), Count(UNDATED, 5)]
    months = [key for one in sliced(counts, cores=cores, slice_by="date") for key in months_of(one)]
    tasks = cores * slicing.SLICES_PER_CORE
    assert (months.count("2024-01"), months.count("2024-02"), months.count("2024-03")) == (
        max(3, tasks * 3_000_000 // 4_000_015),
        tasks // 4 - 1 or 1,
        1,
    )
    assert sliced(counts, slice_by="date")[-1].condition.startswith('("sliced" IS NULL')


def test_none_is_one_slice_with_every_month() -> None:
    [one] = sliced([month(1, 10**7), month(2, 1)], slice_by="none")
    assert (one.condition, months_of(one)) == ("TRUE", ["2024-01", "2024-02"])


def test_slice_by_ctid_for_a_view_is_refused_and_names_the_key() -> None:
    with pytest.raises(InvalidInputError, match="table t: slice_by ctid is for tables and materialised views"):
        plan([month(1, 1)], by_ctid=False, slice_by="ctid")


def test_a_plan_says_why_it_was_chosen() -> None:
    assert plan([month(1, 1)], slice_by="date").reason == "as tables.yaml says"
    assert (plan([month(1, 1)]).by, plan([month(1, 1)]).reason) == ("ctid", "all of a table of 100,000 blocks")
    of_a_view = plan([month(1, 1)], by_ctid=False)
    assert (of_a_view.by, of_a_view.reason) == ("date", "the planner puts slices by date at 1, one pass at 1")
    assert plan([month(1, 10**6), month(2, 10**6)], by_ctid=False).by == "none"  # more slices than MAX_OVERHEAD allows
