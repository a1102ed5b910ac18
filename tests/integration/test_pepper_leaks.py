"""The pepper, and the plain values of hashed, masked and dropped columns, are nowhere but where they belong.

A real job ingests from a server that logs every statement. Afterwards all that the job, Spark and the server have
written is searched, and what pg_stat_activity showed meanwhile.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from psycopg.conninfo import conninfo_to_dict
from pyspark.sql import DataFrame, SparkSession

from ingest_assets.aws.stack import StackOutputs
from spark_scripts.contract import layout
from spark_scripts.contract.privacy import Options, fingerprint
from spark_scripts.contract.tables import Table, tables_to_json
from spark_scripts.lake.hashing import pads, with_pads
from spark_scripts.postgres.projections import HMAC, INNER_PAD, OUTER_PAD
from tests.integration.conftest import Account
from tests.integration.drivers import Launcher
from tests.integration.servers import INSTALLED, Server, debian_programs, embedded_programs, new_server
from tests.integration.whole import execute, manifests

TREATED: dict[str, Options] = {
    "email": {"hash": True},
    "iban": {"hash": True},
    "phone": {"mask": {"last": 4}},
    "ssn": {"drop": True},
}
TABLES = [
    Table("secretive", "private.people", "at", "2024-01", columns=TREATED, verify="content"),
    Table("secretive_parquet", "private.people", "at", "2024-01", columns=TREATED, format="parquet"),
]
MARK = b"zq3x"
"""Begins every plain value. The server makes them, so that no statement of the test holds one."""

ROWS = 2000
PEOPLE = f"""
CREATE SCHEMA private;
CREATE TABLE private.people AS SELECT n AS id, date '2024-01-01' + n % 60 AS at,
    concat('zq', '3x-email-', md5('e' || n), '@example.com') AS email, concat('zq', '3x-iban-', md5('i' || n)) AS iban,
    concat('zq', '3x-phone-', md5('p' || n)) AS phone, concat('zq', '3x-ssn-', md5('s' || n)) AS ssn
FROM generate_series(1, {ROWS}) AS n;
"""
LOGGED = {"log_statement": "all", "log_min_duration_statement": "0", "log_min_messages": "debug1"}
EVENT_LOG = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.sql.ui.explainMode": "extended",  # logical plans in the event log too
    "spark.sql.planChangeLog.level": "WARN",  # the plan after each rule of the optimizer in the driver's log
    "spark.sql.maxPlanStringLength": "1000000",
    "spark.sql.debug.maxToStringFields": "1000",
}


@dataclass
class Left:
    """What is left of the job, by where it was found."""

    pepper: str
    texts: dict[str, bytes] = field(default_factory=dict)
    bucket: Path = Path()

    def files_with(self, needle: bytes) -> list[str]:
        """Where the needle is found."""
        return [where for where, text in self.texts.items() if needle in text]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    programs = debian_programs() if INSTALLED else embedded_programs()
    settings = {**LOGGED, **({"shared_preload_libraries": "pg_stat_statements"} if INSTALLED else {})}
    with new_server(programs, {}, **settings) as server:
        with server.connect() as owner:
            execute(owner, PEOPLE)
            if INSTALLED:
                execute(owner, "CREATE EXTENSION pg_stat_statements")
        yield server


@pytest.fixture(scope="module")
def left(
    account: Account,
    session: boto3.session.Session,
    outputs: StackOutputs,
    bucket: Path,
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Left:
    """A job has run, under a pepper that nothing else knows."""
    pepper, folder = secrets.token_hex(32), tmp_path_factory.mktemp("leaks")
    (folder / "events").mkdir()
    manager = session.client("secretsmanager")
    secret = manager.create_secret(Name="LEAKS", SecretString=json.dumps({**_fields(server), "PII_PEPPER": pepper}))
    launcher = Launcher(account, outputs.bucket_name, secret["ARN"], folder)
    conf = {**EVENT_LOG, "spark.eventLog.dir": (folder / "events").as_uri()}
    with _tables(bucket), _sampled(server) as sample, launcher.started("leaks", {}, conf=conf) as driver:
        assert driver.wait() == 0, driver.told()
    found = Left(pepper, bucket=bucket)
    for file in (
        each for root in (folder, bucket) for each in root.rglob("*") if each.is_file() and "spark" not in each.parts
    ):
        found.texts[str(file)] = file.read_bytes()
    found.texts["pg_stat_activity"] = "\n".join(sample).encode()
    found.texts["server log"] = server.data.with_name("server.log").read_bytes()
    found.texts["pg_stat_statements"] = _statements(server)
    manager.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
    return found


def _fields(server: Server) -> dict[str, str]:
    given = conninfo_to_dict(server.dsn)
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "DB": "dbname"}
    return {**{f"POSTGRES_{ours}": str(given[theirs]) for ours, theirs in names.items()}, "POSTGRES_SSLMODE": "disable"}


@contextmanager
def _tables(bucket: Path) -> Iterator[None]:
    file = bucket / layout.TABLES_KEY
    before = file.read_bytes()
    file.write_text(tables_to_json(TABLES), encoding="utf-8")
    try:
        yield
    finally:
        file.write_bytes(before)


@contextmanager
def _sampled(server: Server) -> Iterator[set[str]]:
    """The queries that pg_stat_activity shows meanwhile."""
    ended, queries = threading.Event(), set[str]()

    def sample() -> None:
        with server.connect() as connection:
            while not ended.wait(0.01):
                rows = connection.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
                queries.update(str(query) for (query,) in rows)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield queries
    finally:
        ended.set()
        thread.join()


def _statements(server: Server) -> bytes:
    if not INSTALLED:
        return b""
    with server.connect() as owner:
        return "\n".join(str(query) for (query,) in owner.execute("SELECT query FROM pg_stat_statements")).encode()


def forms(pepper: str) -> dict[str, bytes]:
    """The pepper as it might be written; of the pads, 54 and 92 are the fill that each key of this length lacks."""
    found: dict[str, bytes] = {}
    for name, key in {"pepper": pepper.encode(), "bytes": bytes.fromhex(pepper), **_named_pads(pepper)}.items():
        found |= {name: key, f"{name} in hex": key.hex().encode(), f"{name} in HEX": key.hex().upper().encode()}
        found[f"{name} in spaced hex"] = key.hex(" ").upper().encode()
        found[f"{name} as numbers"] = ", ".join(str(byte) for byte in key).encode()
        for offset in range(3):  # within a longer text, base64 depends on where the key begins
            whole = base64.b64encode(b"\0" * offset + key)
            found[f"{name} in base64, {offset}"] = whole[4 : len(whole) - 4]
    return found


def _named_pads(pepper: str) -> dict[str, bytes]:
    inner, outer = pads(pepper.encode())
    return {"inner pad": inner, "outer pad": outer}


def test_the_job_wrote_what_the_search_is_about(left: Left) -> None:
    rows = {table.name: sum(each.rows for each in manifests(left.bucket, table).values()) for table in TABLES}
    assert rows == {"secretive": ROWS, "secretive_parquet": ROWS}
    assert any("_manifests" in where for where in left.files_with(fingerprint(left.pepper).encode()))
    assert any("/events/" in where for where in left.files_with(b"outer_pad"))
    assert any(where.endswith("/log") for where in left.files_with(b"outer_pad"))
    queried = {"server log", "pg_stat_activity"} | ({"pg_stat_statements"} if INSTALLED else set())
    assert queried <= set(left.files_with(b'"iban"'))
    assert any("_progress.json" in where for where in left.texts)


def test_the_pepper_stands_in_nothing_that_job_spark_and_server_wrote(left: Left) -> None:
    assert {name: left.files_with(form) for name, form in forms(left.pepper).items() if left.files_with(form)} == {}


def test_plain_values_stand_in_nothing_that_job_spark_and_server_wrote(left: Left) -> None:
    assert left.files_with(MARK) == []


@pytest.fixture
def spark(spark: SparkSession) -> Iterator[SparkSession]:
    """The session, without adaptive plans, which show no generated code before they have run."""
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    yield spark
    spark.conf.unset("spark.sql.adaptive.enabled")


@pytest.mark.parametrize("mode", ["extended", "formatted", "cost", "codegen"])
def test_no_plan_shows_the_pepper_which_it_would_show_as_a_literal(
    spark: SparkSession, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    pepper = secrets.token_hex(32)
    frame, (inner, outer) = spark.range(2).selectExpr("CAST(id AS STRING) AS c0"), pads(pepper.encode())
    literal = frame.selectExpr(
        "c0", *(f"X'{pad.hex()}' AS {name}" for name, pad in ((INNER_PAD, inner), (OUTER_PAD, outer)))
    )
    assert "inner pad in HEX" in _shown(literal, mode, pepper, capsys)
    beside = with_pads(frame, pepper)
    assert _shown(beside, mode, pepper, capsys) == []
    assert [row["hash"] for row in beside.selectExpr(f"{HMAC.format('c0')} AS hash").collect()] == [
        hmac.new(pepper.encode(), text, "sha256").hexdigest() for text in (b"0", b"1")
    ]


def _shown(frame: DataFrame, mode: str, pepper: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The forms of the pepper in the frame's plans."""
    hashing = frame.selectExpr(f"{HMAC.format('c0')} AS hash")
    capsys.readouterr()
    hashing.explain(mode)
    plan = capsys.readouterr().out.encode()
    assert b"sha2" in plan or b"sha256Hex" in plan
    return [name for name, form in forms(pepper).items() if form in plan]
