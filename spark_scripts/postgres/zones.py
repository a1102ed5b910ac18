"""How AT TIME ZONE must name a zone of tables.yaml, so that PostgreSQL uses that zone.

PostgreSQL looks a name up among its abbreviations first, in any case, and then among its zones (timestamptz_zone in
src/backend/utils/adt/timestamp.c); SET TimeZone looks among the zones only. CET, MET, EET, WET, EST, MST and HST are
both, and an abbreviation is an offset that never changes. A name that begins with a colon is no abbreviation, and the
reader of zone files skips the colon (tzload in src/timezone/localtime.c, as POSIX has it for the variable TZ).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spark_scripts.contract.errors import InvalidInputError

if TYPE_CHECKING:
    from spark_scripts.postgres.connection import Connection
    from spark_scripts.postgres.sql import DateColumn

_UTC = "UTC"

_NAMED = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_timezone_names WHERE name OPERATOR(pg_catalog.=) ?) AS zone,
       EXISTS (SELECT FROM pg_catalog.pg_timezone_abbrevs WHERE abbrev OPERATOR(pg_catalog.=) pg_catalog.upper(?))
           AS abbreviation
"""


def resolved(connection: Connection, date: DateColumn, table: str) -> DateColumn:
    """`date` with its zone spelled for AT TIME ZONE. `table` is the name of the table's entry.

    Raises InvalidInputError when the server has no such zone. Does not ask the server for a column without a zone.
    """
    if not date.zoned or date.timezone == _UTC:  # the abbreviation and the zone are the same
        return date
    [found] = connection.rows(_NAMED, date.timezone, date.timezone)
    if not found["zone"]:
        raise InvalidInputError(
            f"table {table}: the PostgreSQL server has no time zone {date.timezone}: set `timezone` in tables.yaml to"
            " another name of it that is in pg_timezone_names there, or update the server's tzdata"
        )
    return replace(date, timezone=spelled(date.timezone, abbreviation=found["abbreviation"]))


def spelled(timezone: str, *, abbreviation: bool) -> str:
    """The zone as AT TIME ZONE takes it; plain where that is right, since an index may be on that expression."""
    return f":{timezone}" if abbreviation else timezone
