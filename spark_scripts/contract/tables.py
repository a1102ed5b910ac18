"""The tables to ingest, as the job reads them from `config/tables.json`.

Users edit `ingest_assets/tables.yaml`. `aws_setup deploy` validates it and uploads it as JSON, because EMR has no YAML
reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Optional

from spark_scripts.contract import privacy
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.months import Month

VERSION = 1

LOCK_TIMEOUT = 10
"""Seconds that a session of the job waits for a lock, unless the table's entry says otherwise."""

YIELD_AFTER = 5
"""Seconds that another session may wait for the job, unless the table's entry says otherwise."""


@dataclass(frozen=True)
class Table:
    """One table to ingest.

    `name` is the asset's and the folder's, `table` the source's `schema.table` quoted as in SQL. `timezone` is
    the time zone of the months of a timestamptz column. `columns` holds the options per column, such as
    `{"questions_list": {"join": ","}}` (see privacy.py), `only` the columns that may leave the database, None for all.
    `first_month` is the first partition. `slice_by` and `slices` override how
    the reads are cut (see slicing.py). `lock_timeout` is how many seconds the job waits for a lock, `yield_after` how
    many seconds another session may wait for the job before the job releases the table. With `row_security` the job
    reads the rows that the table's policies show to its user; without it, a policy that hides rows is an error.
    `allow_empty` lets the table lose all its rows. With `trust_restarts` a refresh does not ingest all months after a
    restart of the server (see `source_state.difference`). `refresh_months` is how many months a refresh looks at that
    names none, the running one included; None for all.
    """

    name: str
    table: str
    date_column: str
    first_month: str
    timezone: str = "UTC"
    columns: Mapping[str, privacy.Options] = field(default_factory=dict)
    only: Optional[list[str]] = None
    format: str = "csv"
    compression: Optional[str] = None
    verify: str = "count"
    slice_by: Optional[str] = None
    slices: Optional[int] = None
    lock_timeout: int = LOCK_TIMEOUT
    yield_after: int = YIELD_AFTER
    row_security: bool = False
    allow_empty: bool = False
    trust_restarts: bool = False
    refresh_months: Optional[int] = None

    def deciding_bytes(self) -> dict[str, Any]:
        """The keys of the entry that decide the bytes of a month, with their values.

        Whether somebody has looked at a column (`keep`) is not among that, nor the order of `only`.
        """
        keys = ("table", "date_column", "timezone", "format", "compression")
        only = {} if self.only is None else {"only": sorted(self.only)}
        return {**{key: getattr(self, key) for key in keys}, "columns": self.treated, **only}

    def months_to_refresh(self, now: datetime) -> Optional[tuple[Month, ...]]:
        """The months that a refresh at the instant `now` looks at when it names none, or None for every month."""
        if self.refresh_months is None:
            return None
        months = Month.current(self.timezone, now).with_months_before(self.refresh_months - 1)
        return self.known(months)

    def known(self, months: Iterable[Month]) -> tuple[Month, ...]:
        """Those of the months that are not before the table's first."""
        first = Month.parse(self.first_month)
        return tuple(month for month in months if month >= first)

    @property
    def treated(self) -> dict[str, privacy.Options]:
        """`columns` without those that arrive as they are."""
        return privacy.treated(self.columns)

    def left_out(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which of the columns `names` stay in the database."""
        return privacy.left_out(names, self.columns, self.only)

    def months_until(self, last: Month) -> tuple[Month, ...]:
        """The months from the table's first to `last`."""
        months, month = [], Month.parse(self.first_month)
        while month <= last:
            months.append(month)
            month = month.plus(1)
        return tuple(months)

    def check_month(self, month: Month, current: Month) -> None:
        """Raise InvalidInputError when `month` is before the table's first month or after `current`."""
        if month < Month.parse(self.first_month):
            raise InvalidInputError(f"table {self.name}: month {month} is before its first_month {self.first_month}")
        if month > current:
            raise InvalidInputError(
                f"table {self.name}: month {month} is in the future: it is {current} in {self.timezone}"
            )


def tables_to_json(tables: Iterable[Table]) -> str:
    """The document to upload as `config/tables.json`; the same tables always give the same text."""
    return json.dumps({"version": VERSION, "tables": [asdict(table) for table in tables]}, indent=1, sort_keys=True)


def tables_from_json(text: str) -> dict[str, Table]:
    """The tables by name. Raises InvalidInputError when the document is not one that `aws_setup deploy` wrote."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise InvalidInputError(
                f"config/tables.json has version {document['version']!r}, this release reads {VERSION}"
            )
        return {entry["name"]: Table(**entry) for entry in document["tables"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"config/tables.json is damaged ({error}): run `python -m aws_setup deploy`") from error
