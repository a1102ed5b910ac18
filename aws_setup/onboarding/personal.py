"""Columns that look like personal data, by their names and by the patterns of their texts. Texts are never shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from aws_setup.onboarding.relations import Column
from aws_setup.onboarding.samples import Sample
from spark_scripts.contract.personal_data import kind_of

_MOST = 0.6
"""The share of a column's texts that must have a pattern."""

_FEWEST = 3

_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(?:\+|00)[1-9][\d ()./-]{6,18}\d|\(\d{2,5}\) ?\d{3}[\d -]{3,8}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_CARD = re.compile(r"\d{13,19}")
_TOKEN = re.compile(
    r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2\w*\$.+|eyJ[\w-]+\.[\w-]+\.[\w-]*|(?:sk|pk|ghp|AKIA)[_A-Za-z0-9]{16,}"
)
_IP = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)")

_EMAIL_ADDRESS, _SECRET, _PAYMENT = "e-mail address", "password or token", "bank account or payment card"
_NUMBER, _DEVICE = "telephone number", "network address or device"
_BIRTH, _PERSON = "date or place of birth", "name of a person"

_PEOPLE = re.compile(
    r"(?i)customer|client|user|person|people|employee|staff|actor|contact|patient|member|student|author|driver|guest|kunde"
)
"""Tables in which a column that is called just `name` names a person."""


def proposal(kind: str) -> dict[str, bool]:
    """What to propose for a column of this kind: equal hashes still join tables, but nobody joins by a password."""
    return {"drop": True} if kind == _SECRET else {"hash": True}


def personal_columns(table: str, columns: Sequence[Column], sample: Sample | None) -> dict[str, str]:
    """Column → kind of personal data, for the columns of `table` that look like it."""
    found = {}
    for column in columns:
        kind = _by_name(table, column) or kind_of_texts(_texts(column, sample))
        if kind:
            found[column.name] = kind
    return found


def _by_name(table: str, column: Column) -> str | None:
    """The kind by name. Keys, flags and dates have such names too (`address_id`, `email_sent_on`), and no such data."""
    kind = kind_of(column.name)
    if column.name.lower() == "name" and not _PEOPLE.search(table):
        return None
    if column.textual:
        return kind
    if column.date_type:
        return kind if kind == _BIRTH else None
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
    (_EMAIL_ADDRESS, _like(_EMAIL)),
    (_SECRET, _like(_TOKEN)),
    (_PAYMENT, is_iban),
    (_PAYMENT, is_card),
    (_DEVICE, _like(_IP)),
    (_NUMBER, _like(_PHONE)),
)
