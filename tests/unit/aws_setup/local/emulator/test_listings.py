"""moto's S3 in a bucket with versioning, as it is in the local account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from moto.s3.models import S3Backend

from aws_setup.local.emulator.s3 import listings


@pytest.fixture
def s3() -> Iterator[S3Backend]:
    """A bucket `lake` with a folder whose object was deleted, one that has two, and one whose object came back."""
    backend = S3Backend("us-east-1", "123456789012")
    backend.create_bucket("lake", "us-east-1")
    backend.put_bucket_versioning("lake", "Enabled")
    for key in ("raw/gone/a", "raw/here/a", "raw/here/b", "raw/back/a"):
        backend.put_object("lake", key, b"rows")
    for key in ("raw/gone/a", "raw/here/b", "raw/back/a"):
        backend.delete_object("lake", key)
    backend.put_object("lake", "raw/back/a", b"again")
    with ExitStack() as stack:
        listings.install(stack)
        yield backend
    backend.reset()  # moto has one list of all buckets in this process


def listed(s3: S3Backend, prefix: str) -> tuple[list[str], list[str]]:
    keys, folders, *_ = s3.list_objects(s3.get_bucket("lake"), prefix, "/", None, 100)
    return [key.name for key in keys], list(folders)


def test_folders_in_which_all_objects_are_deleted_are_not_listed(s3: S3Backend) -> None:
    assert listed(s3, "raw/") == ([], ["raw/back/", "raw/here/"])
    assert listed(s3, "raw/gone/") == ([], [])


def test_objects_that_are_there_are_listed_in_their_newest_version(s3: S3Backend) -> None:
    assert listed(s3, "raw/here/") == (["raw/here/a"], [])
    [back], *_ = s3.list_objects(s3.get_bucket("lake"), "raw/back/", None, None, 100)
    assert back.value == b"again"


def test_a_listing_changes_nothing_of_the_bucket(s3: S3Backend) -> None:
    listed(s3, "raw/")
    assert len(s3.get_bucket("lake").keys.getlist("raw/gone/a")) == 2  # the object and its delete marker
