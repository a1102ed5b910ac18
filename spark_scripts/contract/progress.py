"""The progress of an execution: the Spark job writes it while it works, Dagster and `trigger --wait` show it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Optional

from spark_scripts.contract.documents import read_document
from spark_scripts.contract.errors import DocumentError
from spark_scripts.contract.wording import counted

VERSION = 1

NEWEST_LINES = 100
"""How many of the newest lines the document holds."""


@dataclass(frozen=True)
class Progress:
    """What the job has done so far, and its newest lines.

    `said` is the number of lines since the start. The other figures are about `table`, which names the execution's one
    table, or says how many of its tables were counted, such as `2 of 8 tables`: `months` and `rows` are committed, out
    of `all_months` and `all_rows` that the source has counted; rows without a month count as rows only. `reading` names
    the months that are read at once, or the number of tables that are read, and is empty while nothing is read; `read`
    is how many of their `slices` are done.
    """

    execution: str
    lines: tuple[str, ...] = ()
    said: int = 0
    table: str = ""
    months: int = 0
    all_months: int = 0
    rows: int = 0
    all_rows: int = 0
    reading: str = ""
    read: int = 0
    slices: int = 0

    def to_json(self) -> str:
        """The progress as a JSON document."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Read a document. Raises DocumentError when it is of another version or form."""
        return read_document(
            text, "the progress", VERSION, lambda fields: cls(**{**fields, "lines": tuple(fields["lines"])})
        )

    @classmethod
    def readable(cls, text: str) -> Optional[Progress]:
        """Read a document; None when it is of another version or form, because nothing depends on the progress."""
        try:
            return cls.from_json(text)
        except DocumentError:
            return None

    def new_lines(self, seen: int) -> list[str]:
        """The lines after the first `seen`. Says how many are missing when the document no longer has them all."""
        new = self.said - seen
        if new <= 0:
            return []
        lost = new - len(self.lines)
        missing = [f"({counted(lost, 'line')} left out: they are in the log of the Spark driver)"] if lost > 0 else []
        return [*missing, *self.lines[-new:]]

    def summary(self) -> str:
        """One line for people; empty before the rows of a table are counted."""
        if not self.all_months:
            return ""
        slices = f", {self.reading}: {self.read} of {counted(self.slices, 'slice')} read" if self.reading else ""
        months = f"{self.months} of {counted(self.all_months, 'month')}"
        return f"{self.table}: {months} committed, {self.rows:,} of {counted(self.all_rows, 'row')}{slices}"

    def share(self) -> float:
        """The part of the counted months that is done, from 0 to 1. The months that are read now count by slices."""
        if not self.all_months:
            return 0.0
        done = self.months / self.all_months
        return min(1.0, done + (1 - done) * self.read / self.slices) if self.reading and self.slices else done
