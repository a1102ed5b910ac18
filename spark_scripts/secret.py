"""Reading secrets from Secrets Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from spark_scripts.contract.database import HELP, Database, Endpoint, database_from_secret
from spark_scripts.contract.errors import InvalidInputError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def read_database(client: SecretsManagerClient, secret_id: str, endpoint: Endpoint) -> Database:
    """The database that the secret describes now; call it again when the password may have been rotated.

    Raises InvalidInputError naming the secret, and the field that is wrong.
    """
    return database_from_secret(secret_id, read_secret(client, secret_id), endpoint)


def read_secret(client: SecretsManagerClient, secret_id: str) -> Mapping[str, Any]:
    """The fields of a secret that holds a JSON object. Raises InvalidInputError naming the secret."""
    try:
        text = client.get_secret_value(SecretId=secret_id)["SecretString"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise InvalidInputError(f"secret {secret_id} cannot be read ({code}): {HELP}") from error
    except KeyError as error:
        raise InvalidInputError(f"secret {secret_id} holds no text: {HELP}") from error
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise InvalidInputError(f"secret {secret_id} is not a JSON object: {HELP}")  # its text stays unseen
    return fields
