"""The table that most tests of the job ingest: months with texts that are hard to write as CSV."""

from __future__ import annotations

from spark_scripts.contract.months import Month

JANUARY, FEBRUARY, MARCH = (Month(2024, number) for number in (1, 2, 3))
NAUGHTY = [
    "plain",
    None,
    "",
    ",",
    '"',
    'a"b',
    "a\nb",
    "a\r\nb",
    "\r",
    "\\",
    "\\.",
    " padded ",
    "日本 😀",
    "NULL",
    "\\N",
    "#",
]
"""The texts of each month; the fixture `records` of conftest.py creates the table."""
