"""How `suggest` gets at its database, without one."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from aws_setup import cli
from aws_setup.onboarding.session import _conninfo
from spark_scripts.contract.database import Database

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_the_certificates_of_a_secret_are_in_a_file_while_the_connection_is_made() -> None:
    database = Database("db.example", 5432, "shop", "reader", "pass word", "verify-full", PEM, "-c search_path=a\\ b")
    with _conninfo(database) as conninfo:
        given = conninfo_to_dict(conninfo)
        file = Path(str(given["sslrootcert"]))
        assert file.read_text() == PEM
        assert file.stat().st_mode & 0o077 == 0
    assert not file.exists()
    assert (given["sslmode"], given["password"], given["options"]) == (
        "verify-full",
        "pass word",
        "-c search_path=a\\ b",
    )


def test_the_cas_of_the_system_are_trusted_by_name_and_no_certificates_by_nothing() -> None:
    with _conninfo(Database("db.example", 5432, "shop", "reader", "x", "verify-full", "system")) as conninfo:
        assert conninfo_to_dict(conninfo)["sslrootcert"] == "system"
    with _conninfo(Database("db.example", 5432, "shop", "reader", "x")) as conninfo:
        assert not {"sslrootcert", "options"} & conninfo_to_dict(conninfo).keys()


def test_a_missing_psycopg_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec

    def without_psycopg(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "psycopg" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_psycopg)
    assert cli.main(["suggest", "--source-dsn", "-"]) == 2
    assert capsys.readouterr().err == (
        "error: suggest needs psycopg, of the dependency group `local`: run `make install`\n"
    )


def test_a_file_is_not_both_new_and_merged(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["suggest", "--write", "--output", "new.yaml"])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
