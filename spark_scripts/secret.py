"""Reading secrets from Secrets Manager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import ClientError

from spark_scripts.contract.database import HELP, Database, Endpoint, database_from_secret, secret_fields
from spark_scripts.contract.errors import InvalidInputError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def read_database(client: SecretsManagerClient, secret_id: str, endpoint: Endpoint) -> Database:
    """The database that the secret describes now; call it again when the password may have been rotated.

    Raises InvalidInputError naming the secret, and the field that is wrong.
    """
    return database_from_secret(secret_id, _text(client, secret_id), endpoint)


def read_secret(client: SecretsManagerClient, secret_id: str) -> Mapping[str, Any]:
    """The fields of a secret that holds a JSON object. Raises InvalidInputError naming the secret."""
    return secret_fields(secret_id, _text(client, secret_id))


def _text(client: SecretsManagerClient, secret_id: str) -> Optional[str]:
    """The secret's text; None when it is binary."""
    try:
        return client.get_secret_value(SecretId=secret_id).get("SecretString")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise InvalidInputError(f"secret {secret_id} cannot be read ({code}): {HELP}") from error
