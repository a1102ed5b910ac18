"""The digest of a month's content: equal contents have equal digests, whatever the order of the rows and the files.

A row has a hash of 64 bits, XXH64 with seed 42, which Spark's `xxhash64` computes:
- CSV: of the bytes of the row's line, which may contain line breaks within quotes, without the line feed after it;
- Parquet: of the row's values, see `spark_scripts/lake/digests.py`.

The digest holds the number of rows, the sum of their hashes modulo 2^64, and the hash of the header or of the names and
types of the columns. A sum, unlike an exclusive or, counts equal rows as often as there are. Two different contents of
equally many rows agree with a probability of 2^-64, as two states of the source do (`SourceState.ids`). The hash is no
protection from somebody who wants to deceive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from spark_scripts.contract.errors import DocumentError

SEED = 42
"""The seed of Spark's `xxhash64`."""

MODULUS = 1 << 64

_TEXT = re.compile(r"(csv|parquet):(\d+):([0-9a-f]{16}):([0-9a-f]{16})")


@dataclass(frozen=True)
class Content:
    """The content of a month's files: `rows`, the sum of the rows' hashes, and the hash of the columns; 0 without rows.

    The numbers are taken modulo 2^64, because Spark's are signed.
    """

    format: str
    rows: int = 0
    sum: int = 0
    columns: int = 0

    def __str__(self) -> str:
        return f"{self.format}:{self.rows}:{self.sum % MODULUS:016x}:{self.columns % MODULUS:016x}"

    @classmethod
    def of_text(cls, text: str) -> Content:
        """Read a digest. Raises DocumentError when it has another form."""
        found = _TEXT.fullmatch(text)
        if not found:
            raise DocumentError(
                f"the digest {text!r} is of another release: use that release, or ingest the month again"
            )
        return cls(found[1], int(found[2]), int(found[3], 16), int(found[4], 16))


def typed_columns(columns: Iterable[tuple[str, str]]) -> str:
    """The text whose hash stands for the columns of Parquet files: their names and Spark's types."""
    return json.dumps([list(column) for column in columns], ensure_ascii=False)
