"""The job's one argument: a JSON object that the state machine writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from spark_scripts.contract.database import Endpoint
from spark_scripts.contract.errors import InvalidInputError


@dataclass(frozen=True)
class JobArguments:
    """The execution's input and name, the bucket, and the ids of the secrets.

    `aws_keys_secret` is empty when the job reaches S3 by its role, `glue_database` when there is no Glue catalog to
    update. `database_host`, `database_port` and `database_name` are the stack's parameters with these names, for a
    secret that lacks them.
    """

    input: Any
    execution: str
    bucket: str
    database_secret: str
    aws_keys_secret: str = ""
    glue_database: str = ""
    database_host: str = ""
    database_port: str = ""
    database_name: str = ""

    @property
    def endpoint(self) -> Endpoint:
        """The stack's parameters about the database."""
        return Endpoint(self.database_host, self.database_port, self.database_name)

    @classmethod
    def parse(cls, arguments: list[str]) -> JobArguments:
        """Read the command line (without the program). Raises InvalidInputError when it is not of this form."""
        if len(arguments) != 1:
            raise InvalidInputError(f"the job takes one JSON argument, not {len(arguments)}")
        try:
            return cls(**json.loads(arguments[0]))
        except (ValueError, TypeError) as error:
            raise InvalidInputError(f"the job's argument is not of the agreed form: {error}") from error
