"""Databases whose encoding is not UTF-8: the files of the raw layer are in UTF-8 all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pyspark.sql import SparkSession

from ingest_assets.aws.content import differences
from ingest_assets.aws.raw_layer import RawLayer
from spark_scripts.contract.errors import IngestionError
from spark_scripts.contract.request import TableRequest
from spark_scripts.contract.tables import Table
from spark_scripts.ingest import ingest
from spark_scripts.lake.bucket import Lake
from spark_scripts.lake.publish import lock_key
from spark_scripts.locking.advisory import Locks
from spark_scripts.postgres.source import Source
from tests.integration.published import read_csv
from tests.integration.servers import Server, embedded_programs, new_server
from tests.integration.whole import manifests

TEXTS = {
    "LATIN1": ["Zoë", 'naïve, "£5"\n½', "\xa0"],
    "WIN1252": ["€ 5, “quoted”", "Œuvre"],
    "EUC_JP": ["日本語", "カ,タ\nカナ"],
    "KOI8R": ["Привет", 'ё"ё'],
    "SQL_ASCII": ["plain", "日本 😀"],  # it holds whatever bytes a client sends
}
TABLE = Table("encoded", "public.encoded", "at", "2024-01")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server(embedded_programs()) as server:
        yield server


def ingested(spark: SparkSession, lake: Lake, server: Server, encoding: str) -> None:
    database = replace(server.database, name=encoding.lower())
    with (
        Locks.taken(spark, database, "encoded", [lock_key(lake.bucket, TABLE.name)]) as locks,
        Source.connect(spark, database, "encoded") as source,
    ):
        ingest(spark, source, locks, lake, [TableRequest(TABLE, None)])


def filled(server: Server, encoding: str, statement: str, *values: object) -> None:
    name = encoding.lower()
    with server.connect() as owner:
        owner.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        owner.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'".encode())
    with psycopg.connect(server.dsn, dbname=name, autocommit=True, client_encoding="UTF8") as source:
        source.execute("CREATE TABLE encoded (id serial, at date DEFAULT '2024-01-31', note text)")
        for value in values:
            source.execute(statement.encode(), [value])


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("encoding", TEXTS)
def test_texts_arrive_in_utf_8(
    spark: SparkSession, lake: Lake, raw_layer: RawLayer, bucket: Path, server: Server, encoding: str
) -> None:
    filled(server, encoding, "INSERT INTO encoded (note) VALUES (%s)", *TEXTS[encoding])
    ingested(spark, lake, server, encoding)
    found = manifests(bucket, TABLE)["2024-01"]
    assert sorted(row[2] for row in read_csv(bucket, found)) == sorted(TEXTS[encoding])
    assert differences(raw_layer, found) == []


@pytest.mark.usefixtures("either_way")
def test_bytes_that_are_no_utf_8_fail_the_table_and_nothing_is_published(
    spark: SparkSession, lake: Lake, server: Server, bucket: Path
) -> None:
    filled(server, "SQL_ASCII", "INSERT INTO encoded (note) VALUES (convert_from(%s, 'SQL_ASCII'))", b"fine", b"Zo\xeb")
    before = manifests(bucket, TABLE)
    message = r"1 of 1 table failed: encoded 2024-01: .*0xeb .*whose encoding is SQL_ASCII, .*a view that converts them"
    with pytest.raises(IngestionError, match=message):
        ingested(spark, lake, server, "SQL_ASCII")
    assert manifests(bucket, TABLE) == before
