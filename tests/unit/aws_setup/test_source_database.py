import psycopg
import pytest
from psycopg import pq

from aws_setup import source_database
from aws_setup.errors import SourceDsnError
from aws_setup.source_database import open_source


@pytest.mark.parametrize(
    "dsn",
    [
        "hush",
        "db.example.com:5432/shop",
        "host=db.example.com password=hu sh",
        "postgresql://ana:hu@sh@db.example.com/shop",
        "postgresql://ana:hu/sh@db.example.com/shop",
        "postgresql://ana:hush@db.example.com:hush/shop",
        "mysql://ana:hush@db.example.com/shop",
    ],
)
def test_a_dsn_of_another_form_is_refused_without_showing_it(dsn: str) -> None:
    with pytest.raises(SourceDsnError, match=r"^the source DSN is not of the form postgresql://user:pass") as error:
        open_source(dsn)
    assert "hu" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("postgresql://ana:hush@db.example/shop?schema=public", "has the unknown parameter schema: leave it out"),
        ("host=db.example password=hush user=ana pgbouncer=true", "has the unknown parameter pgbouncer: leave it out"),
        (
            "postgresql://ana:hush@db.example/shop?sslcert=/a",
            "the parameter sslcert of the source DSN cannot be passed",
        ),
        (
            "postgresql://ana:hush@db.example/shop?channel_binding=require",
            "the parameter channel_binding of the source",
        ),
        ("postgresql://ana:hush@a.example,b.example/shop", "names several hosts: name one, since all connections of a"),
        ("host=db.example hostaddr=192.0.2.1 password=hush", "has host and hostaddr: give only one of them"),
    ],
)
def test_a_parameter_that_cannot_reach_the_job_is_refused_by_name(dsn: str, message: str) -> None:
    with pytest.raises(SourceDsnError, match=message) as error:
        open_source(dsn)
    assert "hush" not in str(error.value)


def test_a_possible_part_of_a_password_is_not_named() -> None:
    with pytest.raises(SourceDsnError, match=r"an unknown parameter right after the password: leave it out") as error:
        open_source("host=db.example password=hu sh=5 user=ana")
    assert "sh=" not in str(error.value)
    assert '"sh"' not in str(error.value)


def refuses(name: str) -> bool:
    """Whether a DSN with this parameter is refused."""
    try:
        source_database._check_parameters({name: "surely-not-a-default"})
    except SourceDsnError:
        return True
    return False


def test_every_parameter_of_libpq_is_passed_on_or_harmless_or_refused() -> None:
    """All parameters that libpq lists. One of a later release is refused until somebody has decided about it."""
    accepted = {entry.keyword.decode() for entry in pq.Conninfo.get_defaults() if not refuses(entry.keyword.decode())}
    assert accepted <= source_database._CARRIED | source_database._HARMLESS
    assert accepted >= {"host", "sslmode", "sslrootcert", "options", "application_name", "keepalives_idle"}


def test_a_refused_connection_is_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(conninfo: str) -> None:
        raise psycopg.OperationalError('connection failed: FATAL:  database "shop"\ndoes not exist')

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(
        SourceDsnError, match=r'^cannot connect to the source database: .*FATAL: database "shop" does not exist$'
    ) as error:
        open_source("postgresql://ana:hush@db.example.com/shop")
    assert "hush" not in str(error.value)
