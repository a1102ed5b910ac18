"""TLS to a real server: which modes and certificates connect, how, and what is said of those that do not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pyspark.sql import SparkSession

from aws_setup.errors import SourceDsnError
from aws_setup.source_database import open_source
from ingest_assets.aws.stack import StackOutputs
from spark_scripts.contract import layout
from spark_scripts.contract.database import Database, Endpoint, database_from_fields
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.tables import Table, tables_to_json
from spark_scripts.postgres import certificates
from spark_scripts.postgres.connection import Connection
from tests.certificates import Authority, Signed
from tests.integration.conftest import Account
from tests.integration.drivers import Launcher
from tests.integration.servers import INSTALLED, MISSING, debian_programs, new_server
from tests.integration.whole import manifests

pytestmark = pytest.mark.skipif(not INSTALLED, reason=MISSING)

OURS, OTHER = Authority("The server's CA"), Authority("Another CA")
GOOD, EXPIRED = OURS.server("localhost"), OURS.server("localhost", days=-1)
CERTIFICATES = {
    "no CA": "",
    "its CA": OURS.certificate,
    "its CA among others": OTHER.certificate + Authority("A third CA").certificate + OURS.certificate,
    "another CA": OTHER.certificate,
}
HBA = """\
hostssl all encrypted all scram-sha-256
host all encrypted all reject
host all all all scram-sha-256
"""


@dataclass(frozen=True)
class Server:
    """A server with TLS, whose certificate is for `localhost`; the role `encrypted` gets in with TLS only."""

    dsn: str
    port: str
    password: str
    data: Path

    def fields(self, user: str, **change: str) -> dict[str, str]:
        """The fields of a secret that leads here as `user`."""
        fields = {"HOST": "localhost", "PORT": self.port, "USER": user, "PASSWORD": self.password, "DB": "postgres"}
        return {f"POSTGRES_{name}": value for name, value in {**fields, **change}.items()}

    def dsn_of(self, user: str) -> str:
        """A URL that leads here as `user`."""
        return f"postgresql://{user}:{self.password}@localhost:{self.port}/postgres"

    @contextlib.contextmanager
    def showing(self, other: Signed) -> Iterator[None]:
        """Meanwhile the server has another certificate."""
        self._show(other)
        try:
            yield
        finally:
            self._show(GOOD)

    def _show(self, signed: Signed) -> None:
        (self.data / "server.crt").write_text(signed.certificate)
        (self.data / "server.key").write_text(signed.key)
        with psycopg.connect(self.dsn, autocommit=True) as owner:
            owner.execute("SELECT pg_reload_conf(), pg_sleep(0.3)")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    files = {"server.crt": GOOD.certificate, "server.key": GOOD.key, "pg_hba.conf": HBA}
    with new_server(debian_programs(), files, ssl="on") as made, made.connect() as owner:
        fields = conninfo_to_dict(made.dsn)
        password = str(fields["password"])
        owner.execute(f"CREATE ROLE encrypted LOGIN PASSWORD '{password}'".encode())
        owner.execute("CREATE TABLE secrets AS SELECT n, date '2024-01-31' AS day FROM generate_series(1, 1000) AS n")
        owner.execute("GRANT SELECT ON secrets TO encrypted")
        yield Server(made.dsn, str(fields["port"]), password, made.data)


@pytest.fixture
def connected(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], str]:
    """How a secret of these fields connects: `TLS`, `clear`, or the reason why it does not."""
    # Only the driver connects here, and later tasks of this session would look for the file, which is gone by then.
    monkeypatch.setattr(spark.sparkContext, "addFile", lambda _path: None)

    def connected(fields: dict[str, str]) -> str:
        try:
            database = database_from_fields(fields, Endpoint())
            with (
                certificates.shared(spark, database.sslrootcert),
                Connection.open(spark, database, "how") as connection,
            ):
                [row] = connection.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        except DataLakeError as refused:
            return str(refused)
        return "TLS" if row["ssl"] else "clear"

    return connected


OFF, ENCRYPT, FOREIGN = "set ssl=on there", "set POSTGRES_SSLMODE=require or", "No certificate in POSTGRES_SSLROOTCERT"
NEEDS, IDLE = "needs POSTGRES_SSLROOTCERT", "checks nothing with"
MATRIX = {
    # mode, CA in the secret: the server without TLS, with TLS for who wants it, with TLS for all
    ("", "no CA"): (OFF, "TLS", "TLS"),
    ("", "its CA"): (OFF, "TLS", "TLS"),
    ("", "its CA among others"): (OFF, "TLS", "TLS"),
    ("", "another CA"): (OFF, FOREIGN, FOREIGN),
    ("disable", "no CA"): ("clear", "clear", ENCRYPT),
    ("disable", "its CA"): (IDLE, IDLE, IDLE),
    ("allow", "no CA"): ("clear", "clear", "TLS"),
    ("allow", "its CA"): (IDLE, IDLE, IDLE),
    ("prefer", "no CA"): ("clear", "TLS", "TLS"),
    ("prefer", "another CA"): (IDLE, IDLE, IDLE),
    ("require", "no CA"): (OFF, "TLS", "TLS"),
    ("require", "its CA"): (OFF, "TLS", "TLS"),
    ("require", "another CA"): (OFF, FOREIGN, FOREIGN),
    ("verify-ca", "no CA"): (NEEDS, NEEDS, NEEDS),
    ("verify-ca", "its CA"): (OFF, "TLS", "TLS"),
    ("verify-ca", "its CA among others"): (OFF, "TLS", "TLS"),
    ("verify-ca", "another CA"): (OFF, FOREIGN, FOREIGN),
    ("verify-full", "no CA"): (NEEDS, NEEDS, NEEDS),
    ("verify-full", "its CA"): (OFF, "TLS", "TLS"),
    ("verify-full", "its CA among others"): (OFF, "TLS", "TLS"),
    ("verify-full", "another CA"): (OFF, FOREIGN, FOREIGN),
}


def test_each_mode_connects_as_it_says_or_tells_in_one_line_what_to_do(
    connected: Callable[[dict[str, str]], str], server: Server, database: Database
) -> None:
    clear = {"HOST": database.host, "PORT": str(database.port), "PASSWORD": database.password, "DB": database.name}
    servers = [server.fields(database.user, **clear), server.fields("owner"), server.fields("encrypted")]
    for (mode, ca), expected in MATRIX.items():
        tls_fields = {"POSTGRES_SSLMODE": mode, "POSTGRES_SSLROOTCERT": CERTIFICATES[ca]}
        found = [connected({**fields, **tls_fields}) for fields in servers]
        print(f"\n{mode or '(none)'} with {ca}: {' | '.join(found)}")
        for one, wanted in zip(found, expected, strict=True):
            assert (one == wanted) if wanted in ("TLS", "clear") else (wanted.lower() in one.lower()), (mode, ca, one)
            assert "\n" not in one


@pytest.mark.parametrize(
    ("mode", "outcome"), [("verify-full", "for another name than POSTGRES_HOST"), ("verify-ca", "TLS")]
)
def test_the_name_of_the_server_counts_for_verify_full(
    connected: Callable[[dict[str, str]], str], server: Server, mode: str, outcome: str
) -> None:
    """The server is reached by its address, and its certificate is for its name."""
    fields = {"POSTGRES_SSLMODE": mode, "POSTGRES_SSLROOTCERT": OURS.certificate}
    assert outcome in connected({**server.fields("owner", HOST="127.0.0.1"), **fields})


def test_a_certificate_that_has_expired_is_told(connected: Callable[[dict[str, str]], str], server: Server) -> None:
    with server.showing(EXPIRED):
        found = connected({**server.fields("owner"), "POSTGRES_SSLROOTCERT": OURS.certificate})
    assert "has expired or is not valid yet: renew it there" in found


def test_a_public_ca_is_looked_for_among_those_that_java_trusts(
    connected: Callable[[dict[str, str]], str], server: Server
) -> None:
    assert "PKIX" in connected({**server.fields("owner"), "POSTGRES_SSLROOTCERT": "system"})


def test_options_of_the_secret_are_those_of_the_session(spark: SparkSession, server: Server) -> None:
    fields = {**server.fields("owner"), "POSTGRES_OPTIONS": "-c geqo=off -c application_name=overruled"}
    with Connection.open(spark, database_from_fields(fields, Endpoint()), "optional") as connection:
        assert connection.rows("SELECT current_setting('geqo') AS geqo") == [{"geqo": "off"}]


@pytest.mark.parametrize(
    ("query", "environment", "expected"),
    [
        ("", {}, {"POSTGRES_SSLMODE": "prefer"}),
        ("sslmode=require", {}, {"POSTGRES_SSLMODE": "require"}),
        ("ssl=true", {}, {"POSTGRES_SSLMODE": "require"}),
        (
            "sslmode=verify-full&sslrootcert={file}",
            {},
            {"POSTGRES_SSLMODE": "verify-full", "POSTGRES_SSLROOTCERT": "{pem}"},
        ),
        ("sslmode=require&sslrootcert={file}", {}, {"POSTGRES_SSLMODE": "verify-ca", "POSTGRES_SSLROOTCERT": "{pem}"}),
        (
            "",
            {"PGSSLMODE": "verify-ca", "PGSSLROOTCERT": "{file}", "PGOPTIONS": "-c geqo=off"},
            {"POSTGRES_SSLMODE": "verify-ca", "POSTGRES_SSLROOTCERT": "{pem}", "POSTGRES_OPTIONS": "-c geqo=off"},
        ),
        (
            "options=-c%20geqo%3Doff&connect_timeout=3&application_name=me&keepalives_idle=9&target_session_attrs=any",
            {},
            {"POSTGRES_SSLMODE": "prefer", "POSTGRES_OPTIONS": "-c geqo=off"},
        ),
        (
            "sslmode=verify-full",
            {"HOME": "{home}"},
            {"POSTGRES_SSLMODE": "verify-full", "POSTGRES_SSLROOTCERT": "{pem}"},
        ),
    ],
)
def test_what_a_dsn_asks_for_is_in_the_secret_and_the_job_connects_with_it(
    connected: Callable[[dict[str, str]], str],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    environment: dict[str, str],
    expected: dict[str, str],
) -> None:
    (tmp_path / ".postgresql").mkdir()
    file = tmp_path / ".postgresql" / "root.crt"
    file.write_text(CERTIFICATES["its CA among others"])
    known = {"file": str(file), "home": str(tmp_path), "pem": CERTIFICATES["its CA among others"]}
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(**known))
    fields = server.fields("encrypted")
    source = open_source(f"{server.dsn_of('encrypted')}?{query.format(**known)}")
    assert source.fields == {**fields, **{name: value.format(**known) for name, value in expected.items()}}
    assert connected(dict(source.fields)) == "TLS"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=verify-full", "^cannot connect to the source database: .*root certificate file"),
        ("sslmode=prefer&sslrootcert={file}", "sslmode=prefer with sslrootcert=.*checks nothing"),
        (
            "sslrootcert={file}.none&sslmode=verify-ca",
            "^cannot connect to the source database: .*root certificate file",
        ),
        (
            "target_session_attrs=read-write",
            "^the parameter target_session_attrs of the source DSN cannot be passed on",
        ),
    ],
)
def test_what_the_job_cannot_do_is_refused_by_name(server: Server, tmp_path: Path, query: str, message: str) -> None:
    file = tmp_path / "root.crt"
    file.write_text(OURS.certificate)
    with pytest.raises(SourceDsnError, match=message) as refused:
        open_source(f"{server.dsn_of('encrypted')}?{query.format(file=file)}")
    assert server.password not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_parameter_that_comes_from_the_environment_is_refused_by_name(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCHANNELBINDING", "require")
    with pytest.raises(
        SourceDsnError, match="the parameter channel_binding of the source DSN cannot be passed on to the"
    ):
        open_source(server.dsn_of("encrypted"))


@pytest.fixture(scope="module")
def launch(
    account: Account, bucket: Path, outputs: StackOutputs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Launcher]]:
    """Starts drivers with the secret of that name, in a bucket whose tables.json has the one table."""
    table = Table("secrets", "public.secrets", "day", "2024-01", slice_by="ctid", slices=2)
    file, folder = bucket / layout.TABLES_KEY, tmp_path_factory.mktemp("drivers")
    before = file.read_bytes()
    file.write_text(tables_to_json([table]))
    yield lambda secret: Launcher(account, bucket.name, secret, folder)
    file.write_bytes(before)


@pytest.fixture
def secret(session: boto3.session.Session, request: pytest.FixtureRequest) -> Iterator[Callable[[dict[str, str]], str]]:
    """Makes the test's secret."""
    client, name = session.client("secretsmanager"), "test-tls"
    yield lambda fields: client.create_secret(Name=name, SecretString=json.dumps(fields))["ARN"]
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


@pytest.mark.parametrize("master", ["local[2]", "local-cluster[1,1,1024]"])
def test_the_certificates_reach_driver_and_executors(
    launch: Callable[[str], Launcher],
    secret: Callable[[dict[str, str]], str],
    server: Server,
    bucket: Path,
    master: str,
) -> None:
    """The server lets `encrypted` in with TLS only; executors of a cluster are processes with folders of their own."""
    fields = {**server.fields("encrypted"), "POSTGRES_SSLROOTCERT": CERTIFICATES["its CA among others"]}
    with launch(secret(fields)).started(
        f"tls-{master[:8]}", {"table": "secrets", "months": ["2024-01"]}, master=master
    ) as driver:
        assert driver.child.wait(150) == 0, driver.told()[-3000:]
    published = manifests(bucket, Table("secrets", "public.secrets", "day", "2024-01"))["2024-01"]
    assert (published.rows, published.execution) == (1000, f"tls-{master[:8]}")


def test_a_job_with_another_ca_ends_with_one_line_that_says_what_to_do(
    launch: Callable[[str], Launcher], secret: Callable[[dict[str, str]], str], server: Server
) -> None:
    fields = {**server.fields("encrypted"), "POSTGRES_SSLROOTCERT": OTHER.certificate}
    with launch(secret(fields)).started("tls-refused", {"table": "secrets", "months": ["2024-01"]}) as driver:
        assert driver.wait() == 1
    [line] = [line for line in driver.told().splitlines() if line.startswith("SourceError: ")]
    assert line.startswith(
        f"SourceError: cannot connect to encrypted@localhost:{server.port}/postgres: SSL error: PKIX"
    )
    assert (
        "no certificate in POSTGRES_SSLROOTCERT signed the server's certificate: give the certificates of its CA"
        in line
    )
