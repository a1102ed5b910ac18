"""Names of PostgreSQL tables and columns, read and written as in SQL."""

from __future__ import annotations

import re
import string
from collections.abc import Collection

from spark_scripts.contract.errors import InvalidInputError

# "Identifiers and Key Words" of the PostgreSQL manual (4.1.1). Quotes inside a quoted name are doubled.
_IDENTIFIER = re.compile(r'"((?:[^"\0]|"")+)"|([A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*)')
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

# NAMEDATALEN - 1. PostgreSQL truncates a longer name with only a notice, and then it may be another table's.
_MAX_BYTES = 63


def parse_table(text: str) -> tuple[str, str]:
    """The schema and the table that `text` names, such as `public.orders` or `sales."Orders"`.

    As in SQL, a name without quotes is folded to lower case. Raises InvalidInputError for text that is not two
    names with a dot between them.
    """
    names = []
    position = 0
    while match := _IDENTIFIER.match(text, position):
        names.append(_name(match))
        position = match.end()
        if text[position : position + 1] != ".":
            break
        position += 1
    if len(names) != 2 or position != len(text):
        raise InvalidInputError(
            f"{text!r} is not the name of a table: write schema.table as in SQL, "
            'such as public.orders, or sales."Orders" where a name has capitals, spaces or dots'
        )
    return names[0], names[1]


def quote(name: str) -> str:
    """The name as an SQL identifier: in quotes, with the quotes inside doubled."""
    return '"' + name.replace('"', '""') + '"'


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, with underscores added until it is not in `taken`."""
    while name in taken:
        name += "_"
    return name


def text_column(name: str, columns: Collection[str]) -> str:
    """The column beside `name`, one of `columns`, that has the text of the values which the type of `name` lacks."""
    return free_name(f"{name}_text", columns)


def _name(match: re.Match[str]) -> str:
    quoted, plain = match.groups()
    name: str = plain.translate(_FOLD) if quoted is None else quoted.replace('""', '"')
    if len(name.encode()) > _MAX_BYTES:
        raise InvalidInputError(f"{name!r} is longer than the {_MAX_BYTES} bytes that PostgreSQL has for a name")
    return name
