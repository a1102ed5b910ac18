"""The keys `columns` and `only` of an entry in tables.yaml; docs/privacy.md describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_MASK = 1000
"""Characters that a mask may leave; PostgreSQL counts them for each value."""


class MaskSpec(BaseModel):
    """What of a text may be seen: the first or last characters, or the domain of an e-mail address."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    first: int | None = Field(default=None, ge=1, le=LONGEST_MASK)
    last: int | None = Field(default=None, ge=1, le=LONGEST_MASK)
    domain: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_part(self) -> Self:
        _check_one(self, "as in `mask: {last: 4}`")
        return self


class ColumnSpec(BaseModel):
    """What happens to one column; see `spark_scripts/contract/privacy.py`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    join: str | None = Field(default=None, min_length=1)
    keep: Literal[True] | None = None
    drop: Literal[True] | None = None
    hash: Literal[True] | None = None
    mask: MaskSpec | None = None

    @model_validator(mode="after")
    def _one_option(self) -> Self:
        _check_one(self, "as in `{hash: true}`")
        return self

    @property
    def hides(self) -> bool:
        """Whether the values do not arrive as they are."""
        return self.keep is None and self.join is None


def check_columns(date_column: str, columns: Mapping[str, ColumnSpec], only: list[str] | None) -> None:
    """Raise ValueError when the columns that an entry names do not go together."""
    if date_column in columns and columns[date_column].keep is None:
        raise ValueError(f"columns: {date_column} is the date_column, which decides the months: it can only be kept")
    if only is None:
        return
    if date_column not in only:
        raise ValueError(f"only: must name {date_column} too, because the date_column decides the months")
    twice = sorted({name for name in only if only.count(name) > 1})
    if twice:
        raise ValueError(f"only: names {', '.join(twice)} twice")
    outside = [name for name in columns if name not in only]
    if outside:
        raise ValueError(
            f"columns: {', '.join(outside)} stays in the database, because `only` does not name it: delete it here, or"
            " add it there"
        )


def _check_one(spec: BaseModel, example: str) -> None:
    given: dict[str, Any] = spec.model_dump(exclude_none=True)
    if len(given) != 1:
        known = ", ".join(type(spec).model_fields)
        raise ValueError(f"must have one of {known}, {example}" + (f", not {' and '.join(given)}" if given else ""))
