"""The files that the state machine needs in the bucket: the job's code, the JDBC driver and the list of tables.

The keys of code and driver contain a hash of their content, so that a deployment never changes what a running job
reads.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aws_setup.errors import UsageError
from ingest_assets.tables import load_tables
from spark_scripts.contract import layout
from spark_scripts.contract.layout import TABLES_KEY
from spark_scripts.contract.tables import tables_to_json

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_PRUNED = ("script/", "jar/")

# A younger upload may belong to another checkout that has not yet updated the stack.
_YOUNG = timedelta(days=1)

_PACKAGE = Path(layout.__file__).parents[1]  # spark_scripts

# The earliest time in a zip file. The bytes of the archive must depend only on the code.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Artifacts:
    """The objects to upload by key, and the two template parameters that name them."""

    objects: dict[str, bytes]
    script_prefix: str
    driver_key: str


def build(tables: Path | None, driver_jar: Path) -> Artifacts:
    """The artifacts of this checkout. `tables` is the path of a tables.yaml, None stands for the environment's.

    Raises UsageError when the driver cannot be read, TablesError when tables.yaml is wrong.
    """
    listed = tables_to_json(spec.to_table() for spec in load_tables(tables))
    try:
        driver = driver_jar.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the JDBC driver {driver_jar}: {error.strerror}") from error
    main = (_PACKAGE / "main.py").read_bytes()
    package = _zip(_PACKAGE)
    script_prefix = f"script/{_digest(main + package)}"
    driver_key = f"jar/{_digest(driver)}/{driver_jar.name}"
    objects = {
        f"{script_prefix}/main.py": main,
        f"{script_prefix}/spark_scripts.zip": package,
        driver_key: driver,
        TABLES_KEY: listed.encode(),
    }
    return Artifacts(objects, script_prefix, driver_key)


def upload(client: S3Client, bucket: str, artifacts: Artifacts, report: Callable[[str], None]) -> None:
    """Put the artifacts into the bucket, and `report` a line for each."""
    for key, body in artifacts.objects.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
        report(f"uploaded s3://{bucket}/{key}")


def prune(client: S3Client, bucket: str, used: Iterable[str], report: Callable[[str], None]) -> None:
    """Delete the code and drivers of earlier deployments from the bucket.

    Objects under one of the prefixes `used`, objects younger than a day and the list of tables stay. Call it only while
    no execution is running, because an execution uses the files with which it started.
    """
    in_use, now = tuple(used), datetime.now(UTC)
    pages = client.get_paginator("list_objects_v2")
    old = [
        entry["Key"]
        for prefix in _PRUNED
        for page in pages.paginate(Bucket=bucket, Prefix=prefix)
        for entry in page.get("Contents", [])
        if not entry["Key"].startswith(in_use) and now - entry["LastModified"] > _YOUNG
    ]
    for first in range(0, len(old), 1000):  # the most that DeleteObjects accepts
        objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in old[first : first + 1000]]
        client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    for key in old:
        report(f"deleted the old s3://{bucket}/{key}")


def _zip(package: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_STORED
    ) as archive:  # the output of deflate depends on the version of zlib
        for path in sorted(package.rglob("*.py")):
            entry = zipfile.ZipInfo(f"{package.name}/{path.relative_to(package).as_posix()}", _EPOCH)
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
