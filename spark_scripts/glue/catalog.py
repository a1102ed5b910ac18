"""Updating the Glue catalog from the committed manifests, and from nothing else.

So a failed update loses nothing: the months are published, and the next run of the table, whatever its months, updates
the catalog. Only the holder of the table's lock updates its catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Optional

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import PARTITION_COLUMNS, Partition
from spark_scripts.glue import definitions
from spark_scripts.glue.definitions import CatalogError, Definition, Values

if TYPE_CHECKING:
    from boto3.session import Session

# The most partitions that one call takes.
_CREATED_AT_ONCE = 100
_DELETED_AT_ONCE = 25

_LEFT_ALONE = ("Description", "Owner", "Retention")
"""Fields that people may have set: UpdateTable removes what it is not given."""

# In a subnet without a route to Glue, botocore would wait for an answer for 60 s, five times.
_CONFIG = Config(connect_timeout=10, retries={"mode": "standard", "max_attempts": 4})


class Catalog:
    """A database of the Glue catalog, in the region of `session`, for the tables of a bucket."""

    def __init__(self, session: Session, database: str, bucket: str) -> None:
        self._client: Any = session.client("glue", config=_CONFIG)
        self._database = database
        self._bucket = bucket

    def update(self, name: str, manifests: Sequence[Manifest]) -> None:
        """Make the Glue table and its partitions match `manifests`, the current manifests of the table `name`.

        Writes nothing when the catalog is already up to date. Raises CatalogError naming the table or the partition.
        """
        wanted = definitions.define(name, self._bucket, manifests)
        full_name = f"{self._database}.{name.lower()}"
        with _explained(f"the Glue table {full_name}"):
            table = self._table(name)
            if table:
                _check_own(full_name, table, definitions.location(name, self._bucket))
            found = self._partitions(name) if table else {}
            gone = found.keys() - (wanted.partitions.keys() if wanted else set())
            self._delete(name, gone)  # first, because the new table definition would read their files wrongly
            if wanted:
                self._write(name, table, found, wanted)
                _report_unfit(full_name, wanted.unfit, gone)

    def _write(
        self, name: str, table: Optional[dict[str, Any]], found: Mapping[Values, Any], wanted: Definition
    ) -> None:
        self._write_table(table, wanted.table)
        new = [one for values, one in wanted.partitions.items() if values not in found]
        changed = [one for values, one in wanted.partitions.items() if values in found and not _has(found[values], one)]
        self._create(name, new)
        for one in changed:
            with _explained(f"the partition {_folder(one['Values'])}"):
                self._client.update_partition(
                    DatabaseName=self._database,
                    TableName=name.lower(),
                    PartitionValueList=one["Values"],
                    PartitionInput=one,
                )
        print(
            f"{name}: Glue table {self._database}.{name.lower()} has {len(wanted.partitions)} partitions,"
            f" {len(new)} of them new, {len(changed)} changed",
            flush=True,
        )

    def _table(self, name: str) -> Optional[dict[str, Any]]:
        try:
            found: dict[str, Any] = self._client.get_table(DatabaseName=self._database, Name=name.lower())["Table"]
        except self._client.exceptions.EntityNotFoundException:
            return None
        return found

    def _write_table(self, table: Optional[dict[str, Any]], wanted: dict[str, Any]) -> None:
        if table is None:
            self._create_database()
            self._client.create_table(DatabaseName=self._database, TableInput=wanted)
        elif not _has(table, wanted):
            given = {
                key: value
                for key, value in table.get("Parameters", {}).items()
                if key not in definitions.OWN_PARAMETERS
            }
            described = {key: table[key] for key in _LEFT_ALONE if key in table}
            parameters = {**given, **wanted["Parameters"]}
            self._client.update_table(
                DatabaseName=self._database, TableInput={**described, **wanted, "Parameters": parameters}
            )

    def _create_database(self) -> None:
        try:
            self._client.get_database(Name=self._database)
        except self._client.exceptions.EntityNotFoundException:
            # Another execution, of other tables, may create it at the same time.
            with suppress(self._client.exceptions.AlreadyExistsException):
                self._client.create_database(DatabaseInput={"Name": self._database})

    def _partitions(self, name: str) -> dict[Values, dict[str, Any]]:
        pages = self._client.get_paginator("get_partitions").paginate(
            DatabaseName=self._database, TableName=name.lower()
        )
        return {tuple(one["Values"]): one for page in pages for one in page["Partitions"]}

    def _create(self, name: str, partitions: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(partitions), _CREATED_AT_ONCE):
            answer = self._client.batch_create_partition(
                DatabaseName=self._database,
                TableName=name.lower(),
                PartitionInputList=partitions[start : start + _CREATED_AT_ONCE],
            )
            _check_each(answer)

    def _delete(self, name: str, partitions: Collection[Values]) -> None:
        ordered = sorted(partitions)
        for start in range(0, len(ordered), _DELETED_AT_ONCE):
            answer = self._client.batch_delete_partition(
                DatabaseName=self._database,
                TableName=name.lower(),
                PartitionsToDelete=[{"Values": list(one)} for one in ordered[start : start + _DELETED_AT_ONCE]],
            )
            _check_each(answer)


def _check_own(full_name: str, table: Mapping[str, Any], location: str) -> None:
    """Raise CatalogError when the table of that name is not one that this job made for `location`."""
    found = table.get("StorageDescriptor", {}).get("Location", "")
    keys = table.get("PartitionKeys", [])
    if found.rstrip("/") != location.rstrip("/") or not _has(keys, definitions.PARTITION_KEYS):
        named = ", ".join(f"{key['Name']} {key.get('Type')}" for key in keys)
        raise CatalogError(
            f"the Glue table {full_name} was not made by the ingestion: its location is {found or 'empty'} and its"
            f" partition keys are {named or 'none'}; remove it, or deploy with another GlueDatabase"
        )


def _has(found: Any, wanted: Any) -> bool:
    """Whether Glue's answer `found` has all of `wanted`; the answer has more, and may omit what is empty."""
    if isinstance(wanted, dict):
        return all(_has((found or {}).get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        found = found or []
        return len(found) == len(wanted) and all(_has(*pair) for pair in zip(found, wanted))
    return bool(found == wanted)


def _report_unfit(full_name: str, unfit: Collection[str], gone: Collection[Values]) -> None:
    """Print the months that are not in the catalog. Raise CatalogError when this run took some of them out of it."""
    if not unfit:
        return
    text = (
        f"{', '.join(unfit)}: ingested with other columns or in another format than now, so not in the Glue table"
        f" {full_name} until they are ingested again"
    )
    print(text, flush=True)
    if any(Partition.of_key(key).glue_values in gone for key in unfit):
        raise CatalogError(text)


def _check_each(answer: Mapping[str, Any]) -> None:
    """Raise CatalogError for the partitions that a batch could not write."""
    errors = answer.get("Errors", [])
    if errors:
        reasons = (
            f"{_folder(error['PartitionValues'])}: {error['ErrorDetail'].get('ErrorCode')},"
            f" {error['ErrorDetail'].get('ErrorMessage')}"
            for error in errors
        )
        raise CatalogError(f"partitions of the Glue catalog could not be written: {'; '.join(reasons)}")


def _folder(values: Sequence[str]) -> str:
    return "/".join(f"{key}={value}" for key, value in zip(PARTITION_COLUMNS, values))


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CatalogError(f"{what} could not be updated: {error}") from error
