"""The input of an execution: which months of which tables.

Three forms, as the state machine accepts them:

- `{"table": "mockrecord", "months": ["2024-02", "2024-03"]}`: these months of one table
- `{"scheduled_time": "2026-03-15T08:00:00Z", "trailing_months": 10}`: every table, the month of that instant in the
  table's time zone and as many before it
- `{}`: every table, every month that the table has

Each may have `"refresh": true`: of these months only those whose rows have changed since they were ingested. A refresh
may also name a `table` without months, or with the trailing months, and with `"dry_run": true` it only counts. Of a
table with `refresh_months`, a refresh without months looks at so many. Each may
have `application_id` (an EMR Serverless application that exists) and `requested_by` (a Dagster run id).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Optional

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.months import Month
from spark_scripts.contract.tables import Table

_OPTIONAL = {"application_id", "requested_by"}
_SCHEDULED = {"scheduled_time", "trailing_months"}
_FORMS: tuple[set[str], ...] = ({"table", "months"}, _SCHEDULED, set())
_FORMS_OF_A_REFRESH: tuple[set[str], ...] = (*_FORMS, {"table"}, {"table", *_SCHEDULED})
_REFRESH, _DRY_RUN = "refresh", "dry_run"


@dataclass(frozen=True)
class TableRequest:
    """The months that an execution ingests of one table, oldest first; None means every month that the table has.

    With `refresh` it ingests only those that have changed, with `dry_run` none: it only finds out which these are.
    """

    table: Table
    months: Optional[tuple[Month, ...]]
    refresh: bool = False
    dry_run: bool = False


def resolve(request: Any, tables: Mapping[str, Table], now: datetime) -> list[TableRequest]:
    """The tables and months that the execution input `request` asks for at the instant `now` (timezone-aware).

    Raises InvalidInputError naming the key, table or month that is wrong.
    """
    if not isinstance(request, Mapping):
        raise InvalidInputError(f"the input must be a JSON object, not {request!r}")
    refresh, dry_run = _refresh(request)
    keys = set(request) - _OPTIONAL - {_REFRESH, _DRY_RUN}
    if keys not in (_FORMS_OF_A_REFRESH if refresh else _FORMS):
        raise InvalidInputError(
            f"the input has the keys {sorted(keys)}: give table and months, scheduled_time and trailing_months, or"
            " {}; with refresh also table alone, or table with the last two"
        )
    for key in _OPTIONAL & set(request):
        _text(request, key)
    if "table" in keys:
        tables = _named_table(request, tables)
    requests = _months(request, keys, tables, now)
    return [replace(each, refresh=refresh, dry_run=dry_run) for each in requests]


def _refresh(request: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the request is a refresh, and one that only counts."""
    if request.get(_REFRESH, True) is not True:
        raise InvalidInputError(f"refresh must be true, not {request[_REFRESH]!r}: leave it out to ingest every month")
    dry_run = request.get(_DRY_RUN, False)
    if not isinstance(dry_run, bool):
        raise InvalidInputError(f"dry_run must be true or false, not {dry_run!r}")
    if _DRY_RUN in request and _REFRESH not in request:
        raise InvalidInputError('dry_run goes with "refresh": true alone')
    return _REFRESH in request, dry_run


def _months(
    request: Mapping[str, Any], keys: set[str], tables: Mapping[str, Table], now: datetime
) -> list[TableRequest]:
    if "months" in keys:
        return [_named_months(request, table, now) for table in tables.values()]
    if "scheduled_time" in keys:
        return _trailing(request, tables, now)
    if _REFRESH in request:
        return _with_months([TableRequest(table, table.months_to_refresh(now)) for table in tables.values()])
    return [TableRequest(table, None) for table in tables.values()]


def _with_months(requests: Iterable[TableRequest]) -> list[TableRequest]:
    """Leave out tables that begin after the months that are asked for."""
    return [request for request in requests if request.months != ()]


def _named_table(request: Mapping[str, Any], tables: Mapping[str, Table]) -> dict[str, Table]:
    name = _text(request, "table")
    if name not in tables:
        raise InvalidInputError(f"unknown table {name!r}: tables.yaml has {', '.join(tables) or 'none'}")
    return {name: tables[name]}


def _named_months(request: Mapping[str, Any], table: Table, now: datetime) -> TableRequest:
    listed = request["months"]
    if not isinstance(listed, list) or not listed:
        raise InvalidInputError(f"months must be a list with at least one month, not {listed!r}")
    months = sorted({Month.parse(text) for text in listed})
    for month in months:
        table.check_month(month, Month.current(table.timezone, now))
    return TableRequest(table, tuple(months))


def _trailing(request: Mapping[str, Any], tables: Mapping[str, Table], now: datetime) -> list[TableRequest]:
    count = request["trailing_months"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidInputError(f"trailing_months must be a whole number of 0 or more, not {count!r}")
    instant = _instant(_text(request, "scheduled_time"))
    if instant > now:
        raise InvalidInputError(f"scheduled_time {request['scheduled_time']} is in the future")
    requests = []
    for table in tables.values():
        months = Month.current(table.timezone, instant).with_months_before(count)
        requests.append(TableRequest(table, table.known(months)))
    return _with_months(requests)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.9 does not read the Z
    except ValueError as error:
        raise InvalidInputError(f"scheduled_time {text!r} is not of the form 2026-03-15T08:00:00Z") from error
    if instant.tzinfo is None:
        raise InvalidInputError(f"scheduled_time {text!r} has no time zone: write it as 2026-03-15T08:00:00Z")
    return instant


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request[key]
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{key} must be a string, not {value!r}")
    return value
