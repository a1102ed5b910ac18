"""Reads and validates tables.yaml, which says what is ingested.

It does not import Dagster, because the command line reads the same file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from ingest_assets import environment
from ingest_assets.columns import ColumnSpec, MaskSpec, check_columns
from ingest_assets.strict_yaml import YamlError, lines_of_entries, read_yaml
from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.identifiers import parse_table
from spark_scripts.contract.months import Month
from spark_scripts.contract.request import TableRequest, resolve
from spark_scripts.contract.tables import LOCK_TIMEOUT, YIELD_AFTER, Table, tables_from_json

_T = TypeVar("_T")

PACKAGED = Path(__file__).with_name("tables.yaml")

# A Dagster asset name, and a folder that Spark reads: Spark ignores names that begin with "_" or ".".
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
# What Dagster accepts as an owner (dagster._core.definitions.utils.is_valid_owner).
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")

# Files among the zones that name no place; available_timezones() lists the first two on Debian.
_NO_PLACE = ("localtime", "Factory", "posixrules")

_COMPRESSION = {"csv": ("gzip", "bzip2", "deflate"), "parquet": ("snappy", "gzip", "zstd")}


class TablesError(InvalidInputError):
    """tables.yaml cannot be used; the message names file, entry and key."""


class TableSpec(BaseModel):
    """One entry of tables.yaml; the head of that file explains the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(max_length=63)
    table: str
    date_column: str = Field(min_length=1)
    first_month: str
    timezone: str = "UTC"
    columns: dict[Annotated[str, Field(min_length=1)], ColumnSpec] = Field(default_factory=dict)
    only: list[str] | None = Field(default=None, min_length=1)
    format: Literal["csv", "parquet"] = "csv"
    compression: str | None = None
    verify: Literal["count", "content"] = "count"
    slice_by: Literal["ctid", "date", "none"] | None = None
    slices: int | None = Field(default=None, ge=1, le=1000)
    lock_timeout: int = Field(default=LOCK_TIMEOUT, ge=1, le=3600)
    yield_after: int = Field(default=YIELD_AFTER, ge=1, le=3600)
    row_security: bool = False
    allow_empty: bool = False
    trust_restarts: bool = False
    refresh_months: int | None = Field(default=None, ge=1, le=1200)
    summary: bool = False
    description: str | None = None
    owners: list[str] = Field(default_factory=list)

    _line: int = PrivateAttr(default=1)

    @property
    def line(self) -> int:
        """The line of tables.yaml on which the entry begins."""
        return self._line

    @model_validator(mode="before")
    @classmethod
    def _name_of_the_table(cls, entry: Any) -> Any:
        """Fill in the default of `name`. The validator of `table` reports a table that cannot be parsed."""
        if not isinstance(entry, dict) or "name" in entry or not isinstance(entry.get("table"), str):
            return entry
        try:
            _, table = parse_table(entry["table"])
        except InvalidInputError:
            return entry
        if not _NAME.fullmatch(table):
            raise ValueError(f"the table's name {table!r} cannot name an asset and a folder: set `name`")
        return {**entry, "name": table}

    @field_validator("verify", mode="before")
    @classmethod
    def _renamed(cls, verify: Any) -> Any:
        if verify == "full":
            raise ValueError("verify: full is now verify: content")
        return verify

    @field_validator("name")
    @classmethod
    def _usable_for_asset_and_folder(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name an asset and a folder: use letters, digits, inner underscores")
        return name

    @field_validator("table")
    @classmethod
    def _schema_and_table(cls, table: str) -> str:
        _checked(parse_table, table)
        return table

    @field_validator("first_month")
    @classmethod
    def _month(cls, first_month: str) -> str:
        if _checked(Month.parse, first_month).year < 1000:  # strftime writes earlier years with three digits
            raise ValueError(f"{first_month!r} is too early: the first month can be 1000-01")
        return first_month

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, timezone: str) -> str:
        if timezone in _NO_PLACE:
            raise ValueError(
                f"{timezone!r} does not mean the same zone on every machine: write it as in America/Chicago"
            )
        if timezone not in available_timezones():
            raise ValueError(f"{timezone!r} is not an IANA time zone: write it as in America/Chicago")
        return timezone

    @field_validator("owners")
    @classmethod
    def _addresses_or_teams(cls, owners: list[str]) -> list[str]:
        for owner in owners:
            if not _OWNER.fullmatch(owner):
                raise ValueError(f"{owner!r} is neither an e-mail address nor of the form team:name")
        return owners

    @model_validator(mode="after")
    def _compression_of_the_format(self) -> Self:
        if self.compression is not None and self.compression not in _COMPRESSION[self.format]:
            known = ", ".join(_COMPRESSION[self.format])
            raise ValueError(f"compression: {self.compression!r} is not for {self.format}: use one of {known}")
        return self

    @model_validator(mode="after")
    def _columns_that_go_together(self) -> Self:
        check_columns(self.date_column, self.columns, self.only)
        return self

    @property
    def source(self) -> tuple[str, str]:
        """Schema and table in the database, without quotes."""
        return parse_table(self.table)

    def to_table(self) -> Table:
        """The entry in the form in which the Spark job reads it from `config/tables.json`."""
        columns = {column: options.model_dump(exclude_none=True) for column, options in self.columns.items()}
        return Table(**self.model_dump(exclude={"columns", "summary", "description", "owners"}), columns=columns)


def tables_path() -> Path:
    """The file that `INGEST_TABLES` names, else the packaged tables.yaml."""
    return Path(environment.read(environment.TABLES) or PACKAGED)


def load_tables(path: Path | None = None) -> tuple[TableSpec, ...]:
    """The entries of the file at `path`; of `tables_path()` when it is None.

    Raises TablesError, one line for each thing that is wrong.
    """
    path = path or tables_path()
    document = _read(path)
    if not isinstance(document, list) or not document:
        raise TablesError(f"{path}: must be a list of tables: begin each with `- table: schema.table`")
    tables, errors = [], []
    for number, (entry, line) in enumerate(zip(document, lines_of_entries(path), strict=True), 1):
        try:
            table = TableSpec.model_validate(entry)
            table._line = line
            tables.append(table)
        except ValidationError as error:
            errors += [f"{path}: {_label(number, entry)}: {text}" for text in _explain(error)]
    errors += [f"{path}: {text}" for text in _duplicates(tables)]
    if errors:
        raise TablesError("\n".join(errors))
    return tuple(tables)


def check_request(request: object, document: str | None, now: datetime) -> list[TableRequest]:
    """Refuse an execution input that the job would refuse at the instant `now`, before it costs time and money.

    Returns the months of each table that the input asks for. `document` is `config/tables.json` as it is in the
    bucket, None when it is missing. Raises TablesError when it is missing or differs from tables.yaml,
    InvalidInputError when the input is wrong.
    """
    if document is None:
        raise TablesError("no tables are deployed: run `python -m aws_setup deploy`")
    tables = load_tables()
    check_deployed(tables, document)
    return resolve(request, {table.name: table.to_table() for table in tables}, now)


def check_deployed(tables: Iterable[TableSpec], document: str) -> None:
    """Raise TablesError when `config/tables.json`, as it is in the bucket, does not hold exactly these `tables`."""
    deployed = tables_from_json(document)
    local = {table.name: table.to_table() for table in tables}
    differing = sorted(name for name in local | deployed if local.get(name) != deployed.get(name))
    if differing:
        raise TablesError(
            f"tables.yaml differs from the deployed tables ({', '.join(differing)}): on AWS run `python -m aws_setup "
            "deploy`; with `make dev` wait a moment, then look at its output"
        )


def _checked(parse: Callable[[str], _T], text: str) -> _T:
    """Parse `text`, with InvalidInputError turned into the ValueError that pydantic collects."""
    try:
        return parse(text)
    except InvalidInputError as error:
        raise ValueError(str(error)) from error


def _read(path: Path) -> Any:
    try:
        return read_yaml(path)
    except OSError as error:
        raise TablesError(f"{path}: cannot be read ({error.strerror}): check INGEST_TABLES") from error
    except YamlError as error:
        raise TablesError(f"{path}: is not YAML: {error}") from error


def _duplicates(tables: list[TableSpec]) -> list[str]:
    """Report names that appear twice, ignoring case as Hive and some file systems do."""
    first: dict[str, TableSpec] = {}
    texts = []
    for table in tables:
        earlier = first.setdefault(table.name.lower(), table)
        if earlier is not table:
            texts.append(
                f"the name {table.name!r} ({table.table}) is taken by {earlier.table}: give one of them another `name`"
            )
    return texts


def _label(number: int, entry: Any) -> str:
    named = (entry.get("name") or entry.get("table")) if isinstance(entry, dict) else None
    return f"entry {number} ({named})" if named else f"entry {number}"


def _explain(error: ValidationError) -> list[str]:
    """What pydantic found. A missing name is not reported, because it follows from a wrong `table`."""
    details = [detail for detail in error.errors() if (detail["type"], detail["loc"]) != ("missing", ("name",))]
    return [f"{'.'.join(map(str, detail['loc']))}: {_message(detail)}".removeprefix(": ") for detail in details]


def _message(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "value_error":
            return detail["msg"].removeprefix("Value error, ")
        case "extra_forbidden":
            known: dict[int, type[BaseModel]] = {1: TableSpec, 3: ColumnSpec}
            return f"unknown key: use one of {', '.join(known.get(len(detail['loc']), MaskSpec).model_fields)}"
        case "missing":
            return "the key is missing: add it"
        case "model_type" | "dict_type":
            return f"must be a mapping of keys to values, not {detail['input']!r}"
        case "string_type":
            return f"must be a text, not {detail['input']}: put it in quotes"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "literal_error" if detail["ctx"]["expected"] == "True":
            return "must be true: delete it otherwise"
        case _:
            return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, not {detail['input']!r}"
