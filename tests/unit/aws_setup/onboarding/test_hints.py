from __future__ import annotations

from typing import Any

import pytest

from aws_setup.onboarding.hints import format_reasons, index_hint, texts_in_parquet
from aws_setup.onboarding.relations import Statistics
from aws_setup.onboarding.samples import Texts
from tests.unit.aws_setup.onboarding.relations import column, relation, sample, study


def test_a_large_table_in_the_order_of_time_gets_the_statement_for_an_index() -> None:
    hint = index_hint(study())
    assert hint is not None
    statement, reason = hint
    assert statement == 'CREATE INDEX CONCURRENTLY ON public.orders ("created_at");'
    assert reason.startswith("a month has about 1,000 of its 100,000 blocks")


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": 1000},
        {"date": column("created_at", indexed=True, statistics=Statistics(0.0, 0.99, ()))},
        {"date": column("created_at", statistics=Statistics(0.0, 0.1, ()))},  # each month is all over the table
        {"months": 2},
        {"relation": relation(kind="v")},
        {"relation": relation(kind="p", partition_key="created_at")},
    ],
)
def test_no_index_is_proposed_where_it_would_not_help(changes: dict[str, Any]) -> None:
    assert index_hint(study(**changes)) is None


def test_few_large_rows_of_a_month_are_worth_an_index_wherever_they_are() -> None:
    scattered = column("created_at", statistics=Statistics(0.0, 0.0, ()))
    assert index_hint(study(rows=100_000, date=scattered))


def test_line_breaks_and_both_null_and_the_empty_text_are_reasons_for_parquet() -> None:
    columns = [
        column("notes", "text", statistics=Statistics(0.1, None, ("one\ntwo", ""))),
        column("remark", "text"),
        column("city", "text", statistics=Statistics(0.1, None, ("Rome",))),
    ]
    seen = sample({"remark": Texts(True, False, False), "city": Texts(False, False, True)})
    assert format_reasons(study(columns=columns, sample=seen)) == [
        "notes has line breaks and both NULL and the empty text",
        "remark has line breaks",
    ]


def test_the_types_that_parquet_carries_as_text_are_named_and_texts_are_not() -> None:
    types = ["text", "character varying(10)", "public.citext", "text[]", "uuid", "numeric", "numeric(10,2)", "jsonb"]
    columns = [column(f"c{index}", base_type) for index, base_type in enumerate(types)]
    named = texts_in_parquet(study(columns=columns))
    assert named == ["c3 (text[])", "c4 (uuid)", "c5 (numeric)", "c7 (jsonb)"]
