"""How columns are read: as CSV lines or as typed values.

PostgreSQL itself formats the values: as text, under the settings of `session.FORMATS`, they arrive without loss,
whatever their type. It also masks them. Hashes are Spark's work, because PostgreSQL must not see the pepper.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Optional

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import quote, text_column
from spark_scripts.contract.privacy import Options
from spark_scripts.postgres.pg_catalog import call, cast, day, infix
from spark_scripts.postgres.sql import literal

_NUMBER_AND_BOOLEAN = ("smallint", "integer", "bigint", "real", "double precision", "boolean", "bytea")
_MAX_DECIMAL = 38  # DecimalType.MAX_PRECISION of Spark

_BARE = {
    *("smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "uuid", "oid", "bytea"),
    *("date", "timestamp without time zone", "timestamp with time zone", "time without time zone"),
    *("time with time zone", "interval", "inet", "cidr", "macaddr", "macaddr8", "pg_lsn"),
}
"""Types whose text is never empty and needs no quotes in CSV, under `session.FORMATS`."""
_TIMESTAMP = re.compile(r"timestamp(?:\(\d\))? with(out)? time zone")
_MODIFIER = re.compile(r"\([^)]*\)")
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$|^$')

# Days and microseconds since 1970: java.sql's calendar and the JVM's time zone never touch them.
_MICROSECONDS = infix("extract(epoch FROM {})", "*", "1000000") + "::bigint"
_EXPRESSIONS = {
    "date": infix("{}", "-", day(date(1970, 1, 1))),
    "timestamp": _MICROSECONDS,
    "timestamptz": _MICROSECONDS,
    "text": cast("{}", "text"),
}
_SPARK_EXPRESSIONS = {
    "date": "date_from_unix_date({})",
    "timestamp": "CAST(timestamp_micros({}) AS TIMESTAMP_NTZ)",
    "timestamptz": "timestamp_micros({})",
}
INNER_PAD, OUTER_PAD = "inner_pad", "outer_pad"
"""The columns of the frame that hold the pepper in HMAC's two forms; see `hashing.py`."""

HMAC = f"sha2(concat({OUTER_PAD}, unhex(sha2(concat({INNER_PAD}, CAST({{}} AS BINARY)), 256))), 256)"
"""HMAC-SHA-256 of a text in UTF-8, in hex: https://datatracker.ietf.org/doc/html/rfc2104. NULL for NULL."""

_INFINITE = f"NOT {call('isfinite', '{0}')}"
# Microseconds since 1970 in 64 bits end on 294247-01-10.
_BEYOND = f"{_INFINITE} OR " + infix("{0}", ">=", "'294247-01-01'")
_LOSSY = {"date": _INFINITE, "timestamp": _BEYOND, "timestamptz": _BEYOND, "decimal": infix("{0}", "=", "'NaN'")}
"""The values of a type that PostgreSQL has and the Spark type does not have."""


@dataclass(frozen=True)
class SourceColumn:
    """A column of the source. `type` is as declared, `base_type` the same with domains resolved.

    A type of pg_catalog has its plain name, a user's type its schema before it (`public.citext`), so that a user's type
    called `date` is not mistaken for PostgreSQL's.
    """

    name: str
    type: str
    base_type: str
    comment: Optional[str] = None


@dataclass(frozen=True)
class Projection:
    """How a column is read: an SQL expression, and what Spark makes of its result (None: takes it as it is)."""

    name: str
    expression: str
    spark_expression: Optional[str] = None


def csv_header(columns: Iterable[SourceColumn]) -> str:
    """The header of a CSV file."""
    return ",".join(_field(column.name) for column in columns)


def _field(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if _QUOTED.search(name) else name


def csv_parts(columns: Sequence[SourceColumn], treated: Mapping[str, Options]) -> list[Projection]:
    """The parts of a row's line of CSV, which Spark puts together: `csv_line`, where no column is hashed.

    Otherwise the texts between hashed columns alternate with the values to hash. A hash needs no quotes, and the comma
    before it is the end of the text before it.
    """
    if not any("hash" in treated.get(column.name, {}) for column in columns):
        return [Projection("line", csv_line(columns, treated))]
    parts: list[Projection] = []
    fields: list[str] = []
    for index, column in enumerate(columns):
        options, comma = treated.get(column.name, {}), "," if index else ""
        if "hash" not in options:
            fields.append(_csv_field(column, options, comma))
            continue
        parts.append(Projection("line", _concatenated([*fields, literal(comma)])))
        parts.append(Projection("line", _text(column, options), f"coalesce({HMAC}, '')"))
        fields = []
    return [*parts, Projection("line", _concatenated(fields))] if fields else parts


def csv_line(columns: Sequence[SourceColumn], treated: Mapping[str, Options]) -> str:
    """An SQL expression for a row's line of CSV (RFC 4180): each column as the text that PostgreSQL writes for it.

    NULL is an empty field. Any other text is quoted, so the empty text is `""`; only types whose text is never empty
    and has no comma, quote or line break are not quoted. PostgreSQL builds the line, so a row is one value in the JVM.
    """
    fields = [
        _csv_field(column, treated.get(column.name, {}), "," if index else "") for index, column in enumerate(columns)
    ]
    return _concatenated(fields)


def _csv_field(column: SourceColumn, options: Options, comma: str) -> str:
    text = _text(column, options)
    if options or _MODIFIER.sub("", column.base_type) not in _BARE:
        doubled = call("replace", _in_c(text), """'"'""", """'""'""")
        field = infix(infix(f"""'{comma}"'""", "||", doubled), "||", """'"'""")
    else:
        field = infix("','", "||", text) if comma else text
    return f"coalesce({field}, '{comma}')"


def _concatenated(parts: Sequence[str]) -> str:
    """The parts with || between them, as a balanced tree: so PostgreSQL copies each text log2(parts) times only.

    concat(), format() and array_to_string() copy once, but are slower.
    """
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return infix(_concatenated(parts[:middle]), "||", _concatenated(parts[middle:]))


def typed_projections(
    columns: Sequence[SourceColumn], treated: Mapping[str, Options], lossy: Collection[str]
) -> list[Projection]:
    """Every column in the Spark type that holds it without loss, else as text.

    Spark has no infinite date and no NaN decimal. In a column of `lossy` such a value is NULL, and a further text
    column `<name>_text` has its text.
    """
    projections = [_typed(column, treated.get(column.name, {}), column.name in lossy) for column in columns]
    names = {column.name for column in columns}
    for column in columns:
        if column.name in lossy:
            name = quote(column.name)
            text = f"CASE WHEN {_LOSSY[_kind(column)].format(name)} THEN {cast(name, 'text')} END"
            projections.append(Projection(text_column(column.name, names), text))
    return projections


def lossy_conditions(columns: Iterable[SourceColumn], treated: Mapping[str, Options]) -> dict[str, str]:
    """The conditions, by column, of values that the column's Spark type does not have."""
    return {
        column.name: _LOSSY[_kind(column)].format(quote(column.name))
        for column in columns
        if _kind(column) in _LOSSY and column.name not in treated
    }


def _kind(column: SourceColumn) -> str:
    """What the column's type is to Spark: date, timestamp, timestamptz, decimal, as it is, or text."""
    kind = column.base_type
    if kind in _NUMBER_AND_BOOLEAN:
        return "as it is"
    if _fits_decimal(kind):
        return "decimal"
    if timestamp := _TIMESTAMP.fullmatch(kind):
        return "timestamp" if timestamp[1] else "timestamptz"
    return "date" if kind == "date" else "text"


def _typed(column: SourceColumn, options: Options, lossy: bool) -> Projection:
    if options:
        return Projection(column.name, _text(column, options), HMAC if "hash" in options else None)
    name, kind = quote(column.name), _kind(column)
    expression = _EXPRESSIONS.get(kind, "{}").format(name)
    if lossy:
        expression = f"CASE WHEN {_LOSSY[kind].format(name)} THEN NULL ELSE {expression} END"
        if kind == "decimal":  # CASE drops precision and scale
            expression = f"({expression})::{column.base_type}"
    return Projection(column.name, expression, _SPARK_EXPRESSIONS.get(kind))


def _fits_decimal(kind: str) -> bool:
    if not kind.startswith("numeric(") or kind.endswith("]"):
        return False
    precision, scale = (int(part) for part in kind[len("numeric(") : -1].split(","))
    return precision <= _MAX_DECIMAL and 0 <= scale <= precision


def _text(column: SourceColumn, options: Options) -> str:
    if "join" in options:
        if not column.base_type.endswith("[]"):
            raise InvalidInputError(f"column {column.name} is {column.type}, and join needs an array: fix tables.yaml")
        return call("array_to_string", quote(column.name), literal(options["join"]))
    text = cast(quote(column.name), "text")
    return _masked(column, text, options["mask"]) if "mask" in options else text


def _in_c(text: str) -> str:
    """`text` under a collation that searches and patterns take: before PostgreSQL 18 not every collation is one."""
    return f'({text} COLLATE pg_catalog."C")'


def _masked(column: SourceColumn, text: str, mask: Options) -> str:
    """The part of `text` that may be seen. A text that is not longer than the part shows nothing."""
    if column.base_type.endswith("[]"):
        raise InvalidInputError(
            f"column {column.name} is {column.type}, and mask needs a single value: fix tables.yaml"
        )
    text = _in_c(text)
    if "domain" in mask:
        return call("regexp_replace", text, "'^.*@|^[^@]*$'", "''")
    [(end, count)] = mask.items()
    longer = infix(call("length", text), ">", str(count))
    return call({"first": "left", "last": "right"}[end], text, f"CASE WHEN {longer} THEN {count} ELSE 0 END")
