"""PostgreSQL's own functions, operators and types in SQL, whatever the role's search_path holds.

A name without a schema is looked up along search_path, where a schema before pg_catalog (orafce's users have one) may
have something else of that name. Views and users' functions need that path while their rows are read. So the path
stays, and the names that we write carry their schema.

The grammar itself gives pg_catalog to TIMESTAMP, interval, int, bigint, numeric, extract(), AT TIME ZONE, coalesce().
IS NULL, CASE WHEN, GROUP BY and ARRAY[] look no name up. IN, BETWEEN, NULLIF, JOIN USING and CASE x WHEN take their
operators from the path, so they are not written.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date


def call(function: str, *arguments: str) -> str:
    """A call of a function or an aggregate."""
    return f"pg_catalog.{function}({', '.join(arguments)})"


def cast(expression: str, to: str) -> str:
    """`expression`, which binds tighter than an operator, as a value of the type `to`."""
    return f"{expression}::pg_catalog.{to}"


def infix(left: str, operator: str, right: str) -> str:
    """`left operator right`, in parentheses: all operators that carry a schema have the same precedence."""
    return f"({left} OPERATOR(pg_catalog.{operator}) {right})"


def one_of(expression: str, numbers: Iterable[int]) -> str:
    """The condition that `expression`, an int, is among `numbers`."""
    return f"({expression} OPERATOR(pg_catalog.=) ANY ({int_array(numbers)}))"


def int_array(numbers: Iterable[int]) -> str:
    """An array of int."""
    return f"'{{{','.join(map(str, numbers))}}}'::int[]"


def day(value: date) -> str:
    """A date."""
    return f"pg_catalog.date '{value.isoformat()}'"
