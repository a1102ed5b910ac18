"""The login that the job's next sessions use, which the tables of an execution share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from spark_scripts.contract.database import Database

ReadSecret = Callable[[], "Database"]


class Login:
    """The `database`, with the user and the password of the secret. `read_secret` reads the secret again."""

    def __init__(self, database: Database, read_secret: Optional[ReadSecret]) -> None:
        self._lock = threading.Lock()
        self._read_secret = read_secret
        self.database = database

    def renewed(self, refused: Database) -> bool:
        """Whether there is another login than `refused`: another thread may have found it, or the secret has it now."""
        with self._lock:
            if self.database == refused and self._read_secret is not None:
                secret = self._read_secret()
                self.database = replace(self.database, user=secret.user, password=secret.password)
            return self.database != refused
