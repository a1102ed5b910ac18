from __future__ import annotations

import pytest

from aws_setup.onboarding.personal import is_card, is_iban, kind_of_texts, personal_columns, proposal
from aws_setup.onboarding.samples import Texts
from tests.unit.aws_setup.onboarding.relations import column, sample


def test_an_iban_is_known_by_its_check_digits() -> None:
    assert is_iban("DE89 3704 0044 0532 0130 00")  # the example of ISO 13616's registry
    assert not is_iban("DE88 3704 0044 0532 0130 00")
    assert not is_iban("DE89")


def test_a_card_is_known_by_its_check_digit() -> None:
    assert is_card("4111-1111-1111-1111")
    assert not is_card("4111-1111-1111-1112")
    assert not is_card("0000000000000000")
    assert not is_card("411111111111")


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["a@b.example", "c.d@e.example", "f+g@h.example"], "e-mail address"),
        (["+49 30 1234567", "0049 30 7654321", "(206) 555-9857"], "telephone number"),
        (["10.0.0.1", "192.168.1.255", "8.8.8.8"], "network address or device"),
        (["$2b$12$" + letter * 53 for letter in "abc"], "password or token"),
        (["eyJh.eyJz.sig1", "eyJh.eyJz.sig2", "eyJh.eyJz.sig3"], "password or token"),
        (["4111111111111111", "5500000000000004", "6011000000000004"], "bank account or payment card"),
        (["a@b.example", "plain", "text", "more"], None),
        (["a@b.example", "a@b.example"], None),
        (["2024-01-05", "2024-01-06", "2024-01-07"], None),
        (["1234567", "7654321", "555123456"], None),
        ([], None),
    ],
)
def test_most_texts_of_a_column_must_have_the_pattern(texts: list[str], kind: str | None) -> None:
    assert kind_of_texts(texts) == kind


def test_names_and_texts_are_looked_at_and_keys_and_flags_are_not() -> None:
    columns = [
        column("email", "text"),
        column("email_verified", "boolean"),
        column("address_id", "integer"),
        column("birth_date", "date"),
        column("phone_confirmed_on", "date"),
        column("free", "text"),
    ]
    seen = sample({"free": Texts(False, False, False, ("a@b.example", "c@d.example", "e@f.example"))})
    assert personal_columns("orders", columns, seen) == {
        "email": "e-mail address",
        "birth_date": "date or place of birth",
        "free": "e-mail address",
    }


def test_just_name_is_a_persons_only_in_a_table_of_people() -> None:
    columns = [column("name", "text")]
    assert personal_columns("genre", columns, None) == {}
    assert personal_columns("Customers", columns, None) == {"name": "name of a person"}


def test_a_password_is_to_be_dropped_and_the_rest_to_be_hashed() -> None:
    assert proposal("password or token") == {"drop": True}
    assert proposal("e-mail address") == {"hash": True}
