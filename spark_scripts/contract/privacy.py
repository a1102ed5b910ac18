"""What may happen to a column on its way into the raw layer, as `columns` and `only` of a table's entry say it.

Each column has at most one of these options; docs/privacy.md describes them for users:

    {join: ","}                the elements of an array with this text between them
    {keep: true}               as it is; somebody has looked at the column
    {drop: true}               it stays in the database
    {hash: true}               HMAC-SHA-256 of PostgreSQL's text of the value, under the pepper of the database secret
    {mask: {last: 4}}          the last 4 characters of the text; likewise `first`
    {mask: {domain: true}}     what follows the last @ of the text
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

Options = Mapping[str, Any]
"""The options of one column, such as `{"mask": {"last": 4}}`; empty for a column that arrives as it is."""

PEPPER_FIELD = "PII_PEPPER"
"""The field of the database secret that holds the pepper."""

SHORTEST_PEPPER = 32
"""Characters. Whoever can guess the pepper can find out hashed values by trying."""

_FINGERPRINT_OF = b"fingerprint of the pepper"


def treated(columns: Mapping[str, Options]) -> dict[str, Options]:
    """The options that decide what is read of a column; a column that is kept is as one without options."""
    return {name: options for name, options in columns.items() if "keep" not in options}


def left_out(names: Iterable[str], columns: Mapping[str, Options], only: Optional[Sequence[str]]) -> tuple[str, ...]:
    """Which of the columns `names` stay in the database."""
    return tuple(name for name in names if "drop" in columns.get(name, {}) or (only is not None and name not in only))


def hashed(columns: Mapping[str, Options]) -> list[str]:
    """The columns that are hashed."""
    return [name for name, options in columns.items() if "hash" in options]


def fingerprint(pepper: str) -> str:
    """A name for the pepper, from which nobody can compute the pepper or a hash. Two peppers have two fingerprints."""
    return hmac.new(pepper.encode(), _FINGERPRINT_OF, "sha256").hexdigest()[:16]


def described(options: Options, pepper_fingerprint: str) -> Optional[str]:
    """In words, what happens to the values of a column; None where they arrive whole."""
    if "hash" in options:
        return f"hashed with HMAC-SHA-256, pepper {pepper_fingerprint}"
    if "mask" not in options:
        return None
    [(part, count)] = options["mask"].items()
    return "masked: domain of the e-mail address" if part == "domain" else f"masked: {part} {count}"
