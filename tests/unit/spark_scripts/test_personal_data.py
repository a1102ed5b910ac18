import pytest

from spark_scripts.contract.personal_data import kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "e-mail address") for name in ("email", "customerEmail", "E-Mail", "EmailAddress", "work email")),
        *((name, "telephone number") for name in ("phone2", "Telefon", "home_tel", "celular")),
        *((name, "name of a person") for name in ("FirstName", "nachname", "Prénom", "apellidos", "cognome", "name")),
        *((name, "postal address") for name in ("addressLine1", "Straße", "código_postal", "postcode")),
        *((name, "date or place of birth") for name in ("birth_year", "DOB", "fecha_nacimiento", "geboortedatum")),
        *((name, "bank account or payment card") for name in ("IBAN", "card_number", "kontonummer")),
        *((name, "identity document or number") for name in ("passport_no", "tax_id", "ssn", "codice_fiscale")),
        *((name, "password or token") for name in ("password", "api_key", "resetToken", "senha")),
        *((name, "network address or device") for name in ("ip", "last_ip_address")),
    ],
)
def test_names_of_personal_data_are_known_in_several_languages_and_spellings(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "user_id",
        "address_id",
        "product_name",
        "hotel",
        "emailed_at",
        "email_verified",
        "token_count",
        "race_id",
        "via_app",
        "",
        "7",
    ],
)
def test_a_word_within_another_word_or_about_the_data_is_no_sign(name: str) -> None:
    assert kind_of(name) is None
