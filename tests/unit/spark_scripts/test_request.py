from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.request import resolve
from spark_scripts.contract.tables import Table

NOW = datetime(2024, 3, 1, 3, 0, tzinfo=UTC)
TABLES = {
    "records": Table("records", "public.records", "day", "2023-01"),
    "orders": Table("orders", "sales.orders", "placed_at", "2024-02", timezone="America/Chicago"),
}


def resolved(request: Any) -> dict[str, list[str] | None]:
    return {
        entry.table.name: None if entry.months is None else [str(month) for month in entry.months]
        for entry in resolve(request, TABLES, NOW)
    }


def test_named_months_are_sorted_and_taken_once() -> None:
    assert resolved({"table": "records", "months": ["2024-03", "2023-01", "2024-03"]}) == {
        "records": ["2023-01", "2024-03"]
    }


def test_an_empty_input_asks_for_every_table_and_month() -> None:
    assert resolved({}) == {"records": None, "orders": None}


def test_the_optional_keys_go_with_every_form() -> None:
    assert resolved({"application_id": "00abc", "requested_by": "run"}) == {"records": None, "orders": None}


def test_a_schedule_asks_for_trailing_months_in_the_zone_of_each_table() -> None:
    request = {"scheduled_time": "2024-03-01T03:00:00Z", "trailing_months": 2}
    assert resolved(request) == {"records": ["2024-01", "2024-02", "2024-03"], "orders": ["2024-02"]}


def test_a_schedule_before_the_first_month_of_a_table_leaves_it_out() -> None:
    request = {"scheduled_time": "2023-02-01T00:00:00+00:00", "trailing_months": 1}
    assert resolved(request) == {"records": ["2023-01", "2023-02"]}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, {"records": None, "orders": None}),
        ({"table": "orders"}, {"orders": None}),
        ({"table": "orders", "months": ["2024-02"]}, {"orders": ["2024-02"]}),
        (
            {"scheduled_time": "2024-02-01T03:00:00Z", "trailing_months": 0, "table": "records"},
            {"records": ["2024-02"]},
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [{}, {"dry_run": True}, {"dry_run": False}])
def test_a_refresh_may_name_a_table_without_months(
    request_: dict[str, Any], expected: dict[str, Any], dry_run: dict[str, Any]
) -> None:
    asked = {"refresh": True, **dry_run, **request_}
    assert resolved(asked) == expected
    assert {(each.refresh, each.dry_run) for each in resolve(asked, TABLES, NOW)} == {
        (True, dry_run.get("dry_run", False))
    }


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"refresh": True}, {"records": ["2024-01", "2024-02", "2024-03"], "orders": ["2024-02"]}),
        ({"refresh": True, "table": "orders"}, {"orders": ["2024-02"]}),
        ({"refresh": True, "table": "records", "months": ["2023-01"]}, {"records": ["2023-01"]}),
        (
            {"refresh": True, "scheduled_time": "2024-03-01T03:00:00Z", "trailing_months": 0},
            {"records": ["2024-03"], "orders": ["2024-02"]},
        ),
        ({}, {"records": None, "orders": None}),
    ],
)
def test_refresh_months_bound_a_refresh_that_names_no_months(
    request_: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, table in TABLES.items():
        monkeypatch.setitem(TABLES, name, replace(table, refresh_months=3))
    assert resolved(request_) == expected


def test_a_refresh_leaves_out_a_table_that_begins_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "orders", replace(TABLES["orders"], first_month="2024-04", refresh_months=3))
    assert resolved({"refresh": True}) == {"records": None}


def test_without_refresh_every_month_is_ingested() -> None:
    assert not any(each.refresh or each.dry_run for each in resolve({}, TABLES, NOW))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"refresh": "yes"}, "refresh must be true, not 'yes': leave it out"),
        ({"refresh": 1}, "refresh must be true, not 1"),
        ({"refresh": False}, "refresh must be true, not False"),
        ({"refresh": True, "dry_run": "no"}, "dry_run must be true or false, not 'no'"),
        ({"dry_run": True}, 'dry_run goes with "refresh": true alone'),
        ({"refresh": True, "months": ["2024-01"]}, r"has the keys \['months'\]"),
        ({"refresh": True, "tabel": "records"}, r"has the keys \['tabel'\]"),
        ({"refresh": True, "table": "record"}, "unknown table 'record'"),
        ([], "must be a JSON object"),
        ({"tabel": "records"}, r"has the keys \['tabel'\]"),
        ({"table": "records"}, r"has the keys \['table'\]"),
        ({"table": "records", "months": ["2024-01"], "trailing_months": 1}, "has the keys"),
        ({"table": "record", "months": ["2024-01"]}, "unknown table 'record': tables.yaml has records, orders"),
        ({"table": 7, "months": ["2024-01"]}, "table must be a string, not 7"),
        ({"table": "records", "months": []}, "months must be a list with at least one month"),
        ({"table": "records", "months": "2024-01"}, "months must be a list"),
        ({"table": "records", "months": ["2024-1"]}, "'2024-1' is not a month"),
        ({"table": "records", "months": ["2022-12"]}, "records: month 2022-12 is before its first_month 2023-01"),
        ({"table": "records", "months": ["2024-04"]}, "records: month 2024-04 is in the future"),
        ({"table": "orders", "months": ["2024-03"]}, "orders: month 2024-03 is in the future"),
        ({"scheduled_time": "yesterday", "trailing_months": 1}, "'yesterday' is not of the form"),
        ({"scheduled_time": "2024-03-01T03:00:00", "trailing_months": 1}, "has no time zone"),
        ({"scheduled_time": "2024-03-01T03:00:00Z", "trailing_months": -1}, "whole number of 0 or more, not -1"),
        ({"scheduled_time": "2024-03-01T03:00:00Z", "trailing_months": True}, "whole number of 0 or more, not True"),
        ({"scheduled_time": "2024-03-01T03:00:01Z", "trailing_months": 0}, "is in the future"),
        ({"requested_by": ""}, "requested_by must be a string"),
    ],
)
def test_another_shape_is_refused_naming_what_is_wrong(request_: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        resolve(request_, TABLES, NOW)
