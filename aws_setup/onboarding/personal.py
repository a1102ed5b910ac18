"""Columns that look like personal data, by their names and by the patterns of their texts. Texts are never shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from aws_setup.onboarding.relations import Column
from aws_setup.onboarding.samples import Sample
from spark_scripts.contract.personal_data import looks_personal

_MOST = 0.6
"""The share of a column's texts that must have a pattern."""

_FEWEST = 3

_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(?:\+|00)[1-9][\d ()./-]{6,18}\d|\(\d{2,5}\) ?\d{3}[\d -]{3,8}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_CARD = re.compile(r"\d{13,19}")
_TOKEN = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2\w*\$.+|eyJ[\w-]+\.[\w-]+\.[\w-]*|(?:sk|pk|ghp|AKIA)[_A-Za-z0-9]{16,}")
_IP = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)")

DROPPED = ("password", "token", "card")
"""The kinds for which a hash is no protection, or of no use."""


def personal_columns(columns: Sequence[Column], sample: Sample | None) -> dict[str, str]:
    """Column → kind of personal data, for the columns that look like it."""
    found = {}
    for column in columns:
        kind = _by_name(column) or kind_of_texts(_texts(column, sample))
        if kind:
            found[column.name] = kind
    return found


def _by_name(column: Column) -> str | None:
    """The kind by name. A date or a number may carry an e-mail's name (`email_sent_at`), but no e-mail."""
    kind = looks_personal(column.name)
    if column.textual:
        return kind
    if column.date_type:
        return kind if kind == "birth date" else None
    return None if column.source.base_type == "boolean" or column.name.lower().endswith("id") else kind


def _texts(column: Column, sample: Sample | None) -> list[str]:
    texts = list(column.statistics.values) if column.statistics and column.textual else []
    if sample and column.name in sample.texts:
        texts += sample.texts[column.name].values
    return texts


def kind_of_texts(texts: Iterable[str]) -> str | None:
    """The kind of personal data of which most of `texts` have the pattern; None for too few texts."""
    distinct = {text.strip() for text in texts} - {""}
    if len(distinct) < _FEWEST:
        return None
    needed = _MOST * len(distinct)
    return next((kind for kind, fits in _PATTERNS if sum(map(fits, distinct)) >= needed), None)


def is_iban(text: str) -> bool:
    """Whether the text is an IBAN, by its check digits (ISO 13616: the number modulo 97 is 1)."""
    compact = text.replace(" ", "").upper()
    if not _IBAN.fullmatch(compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_card(text: str) -> bool:
    """Whether the text is the number of a payment card, by its check digit (ISO/IEC 7812: Luhn's formula)."""
    compact = re.sub(r"[ -]", "", text)
    if not _CARD.fullmatch(compact) or len(set(compact)) == 1:
        return False
    digits = [int(digit) for digit in reversed(compact)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _like(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_PATTERNS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("email", _like(_EMAIL)),
    ("token", _like(_TOKEN)),
    ("iban", is_iban),
    ("card", is_card),
    ("ip address", _like(_IP)),
    ("phone", _like(_PHONE)),
)
