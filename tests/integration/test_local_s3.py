"""S3 of the local account: the requests that the project and boto3 make, over plain files."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from aws_setup.local.services.s3 import S3

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    (folder / "bucket").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[S3]:
    with S3(lake, lake.with_suffix(".log"), keys={"LOCALKEY": "made-up"}) as server:
        yield server


def client(server: S3, secret_key: str = "made-up"):  # type: ignore[no-untyped-def]
    return boto3.session.Session().client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="LOCALKEY",
        aws_secret_access_key=secret_key,
    )


def test_objects_are_files_and_files_are_objects(server: S3, lake: Path) -> None:
    s3 = client(server)
    s3.put_object(Bucket="bucket", Key="raw-layer/naïve key/part 1.csv", Body=b"1")
    assert (lake / "bucket" / "raw-layer" / "naïve key" / "part 1.csv").read_bytes() == b"1"
    file = lake / "bucket" / "raw-layer" / "year=2024" / "month=2" / "rows.csv"
    file.parent.mkdir(parents=True)
    for content in (b"id\n", b"id\n1\n"):  # what was read before is not remembered
        file.write_bytes(content)
        answer = s3.get_object(Bucket="bucket", Key="raw-layer/year=2024/month=2/rows.csv")
        assert answer["Body"].read() == content
    listed = s3.list_objects_v2(Bucket="bucket", Prefix="raw-layer/")["Contents"]
    assert [entry["Key"] for entry in listed] == [
        "raw-layer/naïve key/part 1.csv",
        "raw-layer/year=2024/month=2/rows.csv",
    ]
    folders = s3.list_objects_v2(Bucket="bucket", Prefix="raw-layer/", Delimiter="/")["CommonPrefixes"]
    assert [folder["Prefix"] for folder in folders] == ["raw-layer/naïve key/", "raw-layer/year=2024/"]


def test_a_file_that_a_job_has_just_written_is_an_object_at_once(server: S3, lake: Path) -> None:
    s3 = client(server)
    for number in range(30):
        file = lake / "bucket" / "job" / f"month={number}" / "rows.csv"
        file.parent.mkdir(parents=True)
        file.write_text("id\n")
        answer = s3.get_object(Bucket="bucket", Key=f"job/month={number}/rows.csv")
        assert answer["Body"].read() == b"id\n"
        listed = s3.list_objects_v2(Bucket="bucket", Prefix="job/")["Contents"]
        assert len(listed) == number + 1


def test_new_folders_beside_many_others_take_no_time(server: S3) -> None:
    s3 = client(server)
    started = time.monotonic()
    for number in range(40):
        s3.put_object(Bucket="bucket", Key=f"folders/{number}/deep/er/object", Body=b"")
    assert time.monotonic() - started < 10


def test_large_objects_go_in_parts(server: S3, lake: Path) -> None:
    s3 = client(server)
    content = os.urandom(20 * MEGABYTE)
    config = TransferConfig(multipart_threshold=8 * MEGABYTE, multipart_chunksize=8 * MEGABYTE)
    s3.upload_fileobj(io.BytesIO(content), "bucket", "large", Config=config)
    assert (lake / "bucket" / "large").read_bytes() == content
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "large"})
    assert s3.head_object(Bucket="bucket", Key="copy")["ContentLength"] == len(content)
    s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "copy"}, {"Key": "large"}]})
    assert not (lake / "bucket" / "copy").exists()


def test_a_listing_goes_on_after_a_thousand_objects(server: S3, lake: Path) -> None:
    (lake / "bucket" / "many").mkdir()
    for number in range(1200):
        (lake / "bucket" / "many" / str(number)).touch()
    pages = client(server).get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="many/")
    assert sum(len(page["Contents"]) for page in pages) == 1200


def test_what_is_missing_is_told_as_by_s3(server: S3) -> None:
    s3 = client(server)
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket", Prefix="nothing/")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="bucket", Key="nothing")


def test_other_keys_are_refused(server: S3) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(server, "wrong").list_objects_v2(Bucket="bucket")


def test_it_ends_with_its_context_and_the_key_is_in_no_log(tmp_path: Path) -> None:
    with S3(tmp_path / "lake", tmp_path / "log", keys={"LOCALKEY": "made-up"}) as server:
        url = server.url
    with pytest.raises(OSError, match="refused"):
        __import__("urllib.request").request.urlopen(url, timeout=2)
    assert "made-up" not in (tmp_path / "log").read_text()
