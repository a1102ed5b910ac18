"""The bucket as a folder, so that what reads the folder behind the other local account reads an object store too."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


Known = dict[tuple[str, str], bytes]
"""Contents that were read before, by key and ETag."""


def objects(client: S3Client, bucket: str, prefix: str = "", known: Known | None = None) -> dict[str, bytes]:
    """The content by key of every object, directory markers among them; those in `known` are not read again."""
    known = {} if known is None else known
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = [(entry["Key"], entry["ETag"]) for page in pages for entry in page.get("Contents", [])]
    for key, etag in found:
        if (key, etag) not in known:
            known[key, etag] = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return {each[0]: known[each] for each in found}


def markers(client: S3Client, bucket: str, prefix: str) -> list[str]:
    """The keys of the objects with which S3A marks directories."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", []) if entry["Key"].endswith("/")]


def downloaded(client: S3Client, folder: Path, prefixes: tuple[str, ...]) -> Path:
    """The bucket that is called as `folder`, in `folder`: its objects below the prefixes, without directory markers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for prefix in prefixes:
        for key, content in objects(client, folder.name, prefix).items():
            if not key.endswith("/"):
                (folder / key).parent.mkdir(parents=True, exist_ok=True)
                (folder / key).write_bytes(content)
    return folder


def restore(client: S3Client, bucket: str, prefix: str, wanted: Mapping[str, bytes], known: Known) -> None:
    """Make the objects below `prefix` those of `wanted`."""
    found = objects(client, bucket, prefix, known)
    for key in found.keys() - wanted.keys():
        client.delete_object(Bucket=bucket, Key=key)
    for key, content in wanted.items():
        if found.get(key) != content:
            client.put_object(Bucket=bucket, Key=key, Body=content)
