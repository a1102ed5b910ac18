from __future__ import annotations

import gzip

from dagster_aws.s3 import S3Resource

from ingest_assets.aws.driver_logs import last_lines
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from tests.unit.ingest_assets.fakes import BUCKET, FakeAws


def raw_layer(bucket: str | None = None) -> RawLayerResource:
    return RawLayerResource(account=AwsAccount(), s3=S3Resource(), bucket=bucket)


def test_the_bucket_is_the_stack_s_unless_given(aws: FakeAws) -> None:
    assert raw_layer().bucket_name() == BUCKET
    assert raw_layer("mine").bucket_name() == "mine"


def test_months_of_another_execution_are_not_committed_by_this_one(aws: FakeAws) -> None:
    aws.s3.commit("2024-01", "n1")
    aws.s3.commit("2024-02", "n1")
    aws.s3.commit("2024-02", "n2")
    months = ["2024-01", "2024-02", "2024-03"]
    assert list(raw_layer().committed("mockrecord", months, "n1")) == ["2024-01"]
    assert list(raw_layer().left_by("mockrecord", months, "n1")) == ["2024-01", "2024-02"]


def test_tables_that_were_never_deployed_are_none(aws: FakeAws) -> None:
    aws.s3.objects.clear()
    assert raw_layer().deployed_tables() is None


def test_the_last_lines_of_a_log_are_read(aws: FakeAws) -> None:
    aws.s3.objects["log"] = gzip.compress(b"\n".join(b"line %d" % number for number in range(100_000)))
    assert raw_layer().log_end("log")[-2:] == ["line 99998", "line 99999"]
    assert len(raw_layer().log_end("log")) < 10_000
    assert raw_layer().log_end("none") == []


def test_a_log_that_is_still_being_written_is_read_to_where_it_ends() -> None:
    whole = gzip.compress(b"first\nsecond\n", compresslevel=0)
    assert last_lines([whole[:-12]])[:1] == ["first"]


def test_a_log_of_several_parts_is_read_whole() -> None:
    parts = gzip.compress(b"first\n") + gzip.compress(b"second\n") + gzip.compress(b"third\n")
    assert last_lines([parts[:30], parts[30:]]) == ["first", "second", "third"]
