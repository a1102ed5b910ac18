from __future__ import annotations

import pyarrow as pa
import pytest
from dagster_aws.s3 import S3Resource

from ingest_assets.read import ReadError, month, months
from ingest_assets.reading.calendar import within_python
from ingest_assets.reading.types import kind_of
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from tests.unit.ingest_assets.fakes import FakeAws


def raw_layer() -> RawLayerResource:
    return RawLayerResource(account=AwsAccount(), s3=S3Resource())


def test_a_table_without_months_is_told_apart_from_an_unknown_one(aws: FakeAws) -> None:
    with pytest.raises(ReadError, match=r"^orders: no month has been ingested$"):
        months("orders", raw_layer=raw_layer()).arrow()
    with pytest.raises(ReadError, match=r"^no table is named 'order': use one of mockrecord, orders$"):
        month("order", "undated", raw_layer=raw_layer()).arrow()
    aws.s3.objects.clear()
    with pytest.raises(ReadError, match=r"^no table is named 'orders': use one of tables.yaml, once it is deployed$"):
        month("orders", "2024-01", raw_layer=raw_layer()).arrow()


def test_months_up_to_a_bound_are_those_that_were_ingested(aws: FakeAws) -> None:
    for ingested in ("2024-01", "2024-03"):
        aws.s3.commit(ingested, "n1")
    for rows in (months("mockrecord"), months("mockrecord", first="2024-01"), months("mockrecord", last="2024-12")):
        assert [each.key for each in rows._partitions(raw_layer())] == ["2024-01", "2024-03"]
    with pytest.raises(
        ReadError, match=r"^mockrecord: these months have not been ingested\. Ingested are 2024-01, 2024-03$"
    ):
        months("mockrecord", first="2024-04", raw_layer=raw_layer()).arrow()


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (-719_162, None),  # 0001-01-01, the first of Python's dates
        (-719_163, "0001-12-31 BC"),
        (-735_160, "0044-03-15 BC"),
        (-2_440_588, "4714-11-24 BC"),  # the first and the last day of PostgreSQL
        (2_145_042_905, "5874897-12-31"),
        (2_932_897, "10000-01-01"),
        (2_932_896, None),
    ],
)
def test_a_date_that_python_lacks_is_the_text_of_postgresql(day: int, text: str | None) -> None:
    values = pa.chunked_array([pa.array([day, None, 0], pa.int32()).cast(pa.date32())])
    found, texts = within_python(values)
    assert found.is_null().to_pylist() == [text is not None, True, False]
    assert (texts and texts.to_pylist()) == ([text, None, None] if text else None)


def test_an_instant_that_python_lacks_is_the_text_of_postgresql() -> None:
    whole = pa.array([-62_135_596_800_000_001, -62_135_596_800_000_000, 253_402_300_800_000_100], pa.int64())
    _, texts = within_python(pa.chunked_array([whole.cast(pa.timestamp("us", "UTC"))]))
    assert texts is not None
    assert texts.to_pylist() == ["0001-12-31 23:59:59.999999+00 BC", None, "10000-01-01 00:00:00.0001+00"]


@pytest.mark.parametrize(
    "kind", ["numeric", "numeric(39,5)", "numeric(3,-4)", "interval", "uuid", "text[]", "public.date"]
)
def test_a_type_that_arrow_does_not_hold_stays_text(kind: str) -> None:
    assert kind_of(kind) is None
