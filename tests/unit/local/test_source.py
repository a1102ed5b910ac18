import psycopg
import pytest

from aws_setup.local.errors import SourceError
from aws_setup.local.source import open_source


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
    with pytest.raises(SourceError, match=r"^the source DSN is not of the form postgresql://user:pass") as error:
        open_source(dsn)
    assert "hu" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_refused_connection_is_told_in_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(conninfo: str) -> None:
        raise psycopg.OperationalError('connection failed: FATAL:  database "shop"\ndoes not exist')

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(
        SourceError, match=r'^cannot connect to the source database: .*FATAL: database "shop" does not exist$'
    ) as error:
        open_source("postgresql://ana:hush@db.example.com/shop")
    assert "hush" not in str(error.value)
