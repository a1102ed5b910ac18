"""Which columns look like personal data or secrets, by their names.

The words are English, German, French, Spanish, Portuguese, Italian and Dutch. A name is cut into words first
(`customer_email`, `customerEMail`, `CUSTOMER-EMAIL`), so that `email` is not found in `emailed_at`, nor `tel` in
`hotel`. It is a hint for people, and proves nothing: `field_17` may hold anything.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Optional

CREDENTIAL = "password or token"
"""The kind of columns whose values let somebody in."""

_KINDS: dict[str, str] = {
    "e-mail address": "email mail e_mail emails courriel correo correio mailadresse emailadresse emailaddress"
    " email_adres",
    "telephone number": "phone telephone tel mobile mobil handy fax phonenumber telefon telefonnummer handynummer"
    " rufnummer telefono telefone celular movil movel cellulare telephone_portable telefoonnummer msisdn"
    " cell_phone cellphone whatsapp",
    "name of a person": "firstname first_name lastname last_name surname fullname full_name givenname given_name"
    " middlename middle_name maiden_name familyname family_name forename nickname username user_name"
    " vorname nachname familienname geburtsname benutzername prenom nom_de_famille apellido apellidos"
    " primer_apellido sobrenome cognome voornaam achternaam customer_name client_name contact_name"
    " employee_name patient_name person_name cardholder_name account_holder kontoinhaber",
    "postal address": "address addr street streetname house_number housenumber zip zipcode zip_code postcode"
    " post_code postal postalcode postal_code adresse anschrift strasse hausnummer plz postleitzahl"
    " code_postal direccion calle codigo_postal endereco cep indirizzo adres straat huisnummer",
    "date or place of birth": "birth birthday birthdate birth_date dob born geburtsdatum geburtstag geburtsort"
    " naissance nacimiento nascimento nascita geboortedatum",
    "bank account or payment card": "iban bic swift account_number bank_account accountno kontonummer bankkonto"
    " kreditkarte compte_bancaire cuenta_bancaria conta_bancaria conto_bancario rekeningnummer card_number"
    " cardnumber credit_card creditcard cvv cvc",
    "identity document or number": "passport pass_number ssn social_security tax_id taxid tin national_id"
    " nationalid id_card identity_card driver_license drivers_license driving_licence reisepass ausweis"
    " ausweisnummer personalausweis steuernummer steuer_id sozialversicherungsnummer passeport"
    " numero_securite_sociale pasaporte dni nie nif curp passaporte cpf passaporto codice_fiscale paspoort"
    " bsn",
    CREDENTIAL: "password passwd passphrase pwd token api_key apikey access_key private_key"
    " session_id sessionid cookie passwort kennwort geheimnis mot_de_passe contrasena senha wachtwoord"
    " password_hash otp",
    "network address or device": "ip ip_address ipaddress ip_addr remote_addr client_ip mac_address imei imsi device_id"
    " advertising_id",
    "place of a person": "latitude longitude lat lng geolocation gps",
    "trait of a person": "gender geschlecht sexe sesso geslacht religion konfession ethnicity"
    " nationality nationalitaet nationalite nacionalidad marital_status familienstand diagnosis diagnose salary"
    " gehalt salaire salario stipendio disability",
}
"""Words, or words joined by `_` that must follow each other, by the kind of data."""

_ALONE: dict[str, str] = {
    "name": "name of a person",
    **dict.fromkeys(("nom", "nome", "nombre", "naam", "login", "holder"), "name of a person"),
    **dict.fromkeys(("rue", "rua", "via", "cap"), "postal address"),
    **dict.fromkeys(("pan", "rib"), "bank account or payment card"),
    **dict.fromkeys(("rg", "nir"), "identity document or number"),
    **dict.fromkeys(("race", "sex", "genero"), "trait of a person"),
    **dict.fromkeys(("mac",), "network address or device"),
    "portable": "telephone number",
    "secret": CREDENTIAL,
}
"""Words that say something only where they are the whole name."""

_HARMLESS = {"at", "count", "counts", "verified", "confirmed", "enabled", "sent", "type", "format", "status"}
"""A name that ends with one of these is about the data and does not hold it: `email_count`, `phone_verified`."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PHRASES = {f"_{phrase}_": kind for kind, phrases in _KINDS.items() for phrase in phrases.split()}
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "-": "_", " ": "_"})


def kind_of(name: str) -> Optional[str]:
    """What a column of this name probably holds, such as "e-mail address"; None where the name gives no sign of it."""
    words = _words(name)
    if not words or words[-1] in _HARMLESS:
        return None
    joined = f"_{'_'.join(words)}_"  # `address_id` is a key, `tax_id` is a person's number
    found = [phrase for phrase in _PHRASES if phrase in joined and (words[-1] != "id" or phrase.endswith("_id_"))]
    if found:
        return _PHRASES[max(found, key=lambda phrase: phrase.count("_"))]
    return _ALONE.get(words[0]) if len(words) == 1 else None


def _words(name: str) -> list[str]:
    """The words of a name in lower case, without accents: `geändertAm` gives `geandert`, `am`."""
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS))
    return [word.lower() for word in _WORD.findall("".join(one for one in plain if not unicodedata.combining(one)))]
