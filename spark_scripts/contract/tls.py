"""How connections to PostgreSQL are encrypted, and which certificates prove the server's identity."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl

from spark_scripts.contract.errors import InvalidInputError

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""The values of sslmode, libpq's and pgjdbc's: https://www.postgresql.org/docs/current/libpq-ssl.html"""

SYSTEM = "system"
"""Stands for the CAs that Java trusts, as libpq's `sslrootcert=system` for those of the operating system."""

_DEFAULT = "require"
_JAVA_TRUST = "org.postgresql.ssl.DefaultJavaSSLFactory"
_BLOCK = re.compile(r"-----BEGIN ([^-\r\n]+)-----([^-]*)-----END \1-----")

_BUNDLES = "for RDS the bundle of its region"
_HINTS = (
    (
        ("server does not support SSL",),
        "the server has TLS switched off: set ssl=on there, or POSTGRES_SSLMODE=disable to read in clear text",
    ),
    (
        ("PgjdbcHostnameVerifier",),
        "the server's certificate is for another name than POSTGRES_HOST: give a name that is in it, or set"
        " POSTGRES_SSLMODE=verify-ca",
    ),
    (
        ("CertificateExpiredException", "validity check failed"),
        "a certificate of the server has expired or is not valid yet: renew it there",
    ),
    (
        ("PKIX path", "CertPathValidatorException"),
        "no certificate in POSTGRES_SSLROOTCERT signed the server's certificate: give the certificates of its CA, "
        + _BUNDLES,
    ),
    (
        ("no encryption", "SSL off"),
        "the server's pg_hba.conf refuses this user in clear text: set POSTGRES_SSLMODE=require or verify-full",
    ),
    (
        ("Received fatal alert", "No appropriate protocol"),
        "the TLS handshake failed: compare the server's ssl_min_protocol_version and ssl_ciphers with Java's",
    ),
)
"""What pgjdbc or the server says when TLS fails, and what to do. The first match counts."""


def checked(mode: str, root_certificates: str) -> tuple[str, str]:
    """The mode and certificates that the job uses, from the fields of the secret ("" for a missing one).

    The default mode is `require`, with certificates `verify-full`. `require` with certificates means `verify-ca`, as
    in libpq. Raises InvalidInputError naming the field that is wrong; the message holds no value.
    """
    if mode and mode not in MODES:
        raise InvalidInputError(f"POSTGRES_SSLMODE must be one of {', '.join(MODES)}")
    verifies = mode.startswith("verify-")
    if not root_certificates.strip():
        if verifies:
            raise InvalidInputError(
                f"POSTGRES_SSLMODE={mode} needs POSTGRES_SSLROOTCERT, the certificates of the server's CA in PEM"
                f" ({_BUNDLES}), or `{SYSTEM}` for the CAs that Java trusts"
            )
        return mode or _DEFAULT, ""
    if mode in ("disable", "allow", "prefer"):
        raise InvalidInputError(
            f"POSTGRES_SSLROOTCERT checks nothing with POSTGRES_SSLMODE={mode}: set verify-full, or leave it out"
        )
    if root_certificates.strip() == SYSTEM:
        if mode not in ("", "verify-full"):  # anybody can get a public CA's certificate for a name of their own
            raise InvalidInputError(f"POSTGRES_SSLROOTCERT={SYSTEM} needs POSTGRES_SSLMODE=verify-full")
        return "verify-full", SYSTEM
    return (mode if verifies else "verify-ca" if mode else "verify-full"), certificates(root_certificates)


def certificates(text: str) -> str:
    r"""The PEM certificates in `text`, with nothing around them; line ends may be written as `\n`.

    Raises InvalidInputError when there are none, one is damaged, or something else is among them, such as a key.
    """
    text = text.replace("\\r", "").replace("\\n", "\n")
    found = list(_BLOCK.finditer(text))
    if not found or text.count("-----BEGIN ") != len(found):
        raise InvalidInputError(
            "POSTGRES_SSLROOTCERT is not PEM text: it takes whole certificates, from -----BEGIN CERTIFICATE----- to"
            " -----END CERTIFICATE-----"
        )
    return "".join(_certificate(number, block) for number, block in enumerate(found, start=1))


def _certificate(number: int, block: re.Match[str]) -> str:
    if block[1] != "CERTIFICATE":
        raise InvalidInputError(f"POSTGRES_SSLROOTCERT: block {number} is not a certificate: give certificates only")
    try:
        der = base64.b64decode("".join(block[2].split()), validate=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInputError(f"POSTGRES_SSLROOTCERT: certificate {number} cannot be read: copy it again") from error
    return ssl.DER_cert_to_PEM_cert(der)


def properties(mode: str, root_certificates: str) -> dict[str, str]:
    """The connection properties of pgjdbc for what `checked` returned. The file `file_name` must exist by then."""
    if root_certificates == SYSTEM:
        return {"sslmode": mode, "sslfactory": _JAVA_TRUST}
    return {"sslmode": mode, **({"sslrootcert": file_name(root_certificates)} if root_certificates else {})}


def file_name(root_certificates: str) -> str:
    """The file of the certificates, named by its content: Spark refuses to replace a file that executors have."""
    return f"postgresql-root-{hashlib.sha256(root_certificates.encode()).hexdigest()[:16]}.pem"


def hint(message: str) -> str:
    """What to do about a connection that failed with `message`; empty when TLS is not the reason."""
    return next((advice for words, advice in _HINTS if any(word in message for word in words)), "")
