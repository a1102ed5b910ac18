"""The launcher: what it starts, what it passes on, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aws_setup.local.services.postgres import READER, Postgres
from tests.integration.conftest import ROOT, Account, local

# A command with a child in another session; both ignore SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"],
                 start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


class Launcher:
    """Starts launchers over one folder and finds their processes by a mark in their environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.mark = uuid.uuid4().hex
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str | Path, cwd: Path = ROOT, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environ |= {"AWS_PROFILE": "production", "TEST_MARK": self.mark, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            local("--home", self.home, *arguments),
            cwd=cwd,
            env=environ,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path, cwd: Path = ROOT) -> tuple[int, str, str]:
        process = self.start(*arguments, cwd=cwd)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def processes(self) -> list[psutil.Process]:
        """Those with the mark, and what is below them: PostgreSQL's workers overwrite their environment."""
        found = set()
        for process in psutil.process_iter():
            try:
                if process.environ().get("TEST_MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found |= {process, *process.children(recursive=True)}
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return list(found)

    def assert_nothing_left(self, seen: list[psutil.Process], within: float = 15) -> None:
        _, alive = psutil.wait_procs(seen, timeout=within)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
        assert self.processes() == []


def command_line(process: psutil.Process) -> str:
    """Empty for a process that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("launcher") / "home"


@pytest.fixture
def launcher(home: Path) -> Iterator[Launcher]:
    launcher = Launcher(home)
    yield launcher
    for process in launcher.started:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline().strip()
    assert line, process.stderr.read()
    return line


def test_the_exit_code_and_the_output_are_the_commands(launcher: Launcher) -> None:
    script = (
        "import os, sys, boto3, psycopg; assert 'AWS_PROFILE' not in os.environ;"
        "print(boto3.client('sts').get_caller_identity()['Account']);"
        "psycopg.connect(os.environ['SOURCE_DSN'], autocommit=True).execute('CREATE TABLE kept AS SELECT 42');"
        "boto3.client('s3').put_object(Bucket='data-lake-local', Key='kept', Body=b'kept'); sys.exit(5)"
    )
    code, out, err = launcher.run("--", "python", "-c", script)
    assert (code, out) == (5, "123456789012\n"), err
    assert "with new sample tables" in err
    assert re.search(r"ready \(\d+\.\d s\)", err)
    launcher.assert_nothing_left([])


def test_data_survives_a_restart_and_no_password_is_to_be_seen(launcher: Launcher) -> None:
    script = (
        "import os, time; print(os.environ['SOURCE_DSN'], os.environ['AWS_SECRET_ACCESS_KEY'], flush=True);"
        "time.sleep(600)"
    )
    process = launcher.start("--", sys.executable, "-c", script)
    dsn, secret_key = first_line(process).split()
    password = urlsplit(dsn).password
    assert password
    with psycopg.connect(dsn) as connection:
        assert connection.execute("TABLE kept").fetchone() == (42,)
        count = "SELECT count(*) FROM public.mockrecord WHERE id <= 200000"
        assert connection.execute(count).fetchone() == (200_000,)
    assert (launcher.home / "lake" / "data-lake-local" / "kept").read_text() == "kept"

    processes = launcher.processes()
    lines = [command_line(process) for process in processes]
    assert any("postgres -D" in line for line in lines)
    assert any("rclone" in line for line in lines)
    assert [line for line in lines if password in line or secret_key in line] == []

    code, _, err = launcher.run("--", "true")
    assert (code, err) == (
        2,
        f"error: a local account (process {process.pid}) already runs in {launcher.home}: "
        "stop it, or give another folder with --home\n",
    )

    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    launcher.assert_nothing_left(processes)
    for file in [*launcher.home.rglob("*.log"), *(launcher.home / "postgres").rglob("*")]:
        if file.is_file():
            content = file.read_bytes()
            assert password.encode() not in content, file
            assert secret_key.encode() not in content, file
    assert password not in err
    assert secret_key not in err


def test_an_interrupt_goes_to_the_command_which_may_clean_up(launcher: Launcher) -> None:
    script = (
        "import sys, time\nprint('up', flush=True)\ntry:\n  time.sleep(600)\n"
        "except KeyboardInterrupt:\n  time.sleep(0.5); print('cleaned up', flush=True); sys.exit(7)"
    )
    process = launcher.start("--", sys.executable, "-c", script)
    assert first_line(process) == "up"
    processes = launcher.processes()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (7, "cleaned up\n")
    launcher.assert_nothing_left(processes)


def test_a_kill_of_the_launcher_leaves_no_process_and_the_account_starts_again_at_once(launcher: Launcher) -> None:
    process = launcher.start("--", sys.executable, "-c", STUBBORN)
    assert first_line(process) == "up"
    processes = launcher.processes()
    assert len(processes) > 10
    process.kill()
    process.wait()
    code, out, err = launcher.run("--", "echo", "again")
    assert (code, out) == (0, "again\n"), err
    launcher.assert_nothing_left(processes)


def test_without_a_command_it_prints_the_exports_and_stays_up_until_ctrl_c(launcher: Launcher) -> None:
    process = launcher.start()
    lines = [first_line(process)]
    assert process.stdout is not None
    while "JAVA_HOME" not in lines[-1]:
        lines.append(process.stdout.readline().strip())
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[1:])
    assert lines[0] == "unset AWS_PROFILE"
    assert exports["AWS_REGION"] == "us-east-1"
    assert exports["LAKE_DIR"] == str(launcher.home / "lake")
    processes = launcher.processes()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    launcher.assert_nothing_left(processes)


@pytest.mark.parametrize("seconds", [0.8, 2.5])
def test_a_signal_while_it_starts_stops_what_has_started(launcher: Launcher, seconds: float) -> None:
    process = launcher.start("--", "true")
    time.sleep(seconds)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM), err
    assert "Traceback" not in err
    launcher.assert_nothing_left([])


def test_an_unknown_command_is_named_before_anything_starts(launcher: Launcher) -> None:
    assert launcher.run("--", "no-such-command") == (127, "", "error: no-such-command: command not found\n")


def test_a_dotenv_that_leads_elsewhere_is_refused(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COLOUR=blue\nexport AWS_PROFILE=production\n")
    code, _, err = launcher.run("--", "true", cwd=tmp_path)
    assert code == 2
    assert err.startswith(f"error: {tmp_path}/.env sets AWS_PROFILE, and `dagster dev` would use")
    assert err.count("\n") == 1


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Postgres]:
    """A database that is not the account's."""
    with Postgres(tmp_path / "postgres", tmp_path / "log") as server:
        yield server


def test_another_database_may_be_the_source_and_its_password_come_by_standard_input(
    launcher: Launcher, database: Postgres
) -> None:
    script = (
        "import boto3, os, sys; print(os.environ['SOURCE_DSN']); print(sys.stdin.readline().strip());"
        "print(boto3.client('secretsmanager').get_secret_value(SecretId='POSTGRESQL')['SecretString'])"
    )
    process = launcher.start("--source-dsn", "-", "--", sys.executable, "-c", script, stdin=subprocess.PIPE)
    out, err = process.communicate(f"{database.dsn(READER)}\nfor the command\n", timeout=120)
    assert process.returncode == 0, err
    dsn, rest, secret = out.splitlines()
    assert conninfo_to_dict(dsn) == conninfo_to_dict(database.dsn(READER))
    assert rest == "for the command"
    fields = json.loads(secret)
    assert len(fields.pop("PII_PEPPER")) == 64
    assert fields == {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(database.port),
        "POSTGRES_USER": READER,
        "POSTGRES_PASSWORD": database.password(READER),
        "POSTGRES_DB": "source",
        "POSTGRES_SSLMODE": "prefer",  # libpq's default, which the DSN leaves as it is
    }
    assert f"source: PostgreSQL 16, source on 127.0.0.1:{database.port}" in err
    assert database.password(READER) not in err


def test_a_source_that_refuses_the_password_is_told_in_one_line_without_it(
    launcher: Launcher, database: Postgres
) -> None:
    wrong = database.dsn(READER).replace(database.password(READER), "hush-hush")
    code, out, err = launcher.run("--source-dsn", wrong, "--", "true")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: cannot connect to the source database: .*authentication failed.*\n", err)
    assert "hush" not in err


def test_the_account_holds_what_the_stack_and_the_job_need(account: Account, session: boto3.session.Session) -> None:
    stack = session.client("cloudformation").describe_stacks(StackName=account.environment["INGEST_STACK"])["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs["BucketName"] == "data-lake-local"
    folders = session.client("s3").list_objects_v2(Bucket="data-lake-local", Delimiter="/")["CommonPrefixes"]
    assert {folder["Prefix"] for folder in folders} >= {"config/", "jar/", "script/"}
    secret = session.client("secretsmanager").get_secret_value(SecretId=outputs["DatabaseSecretArn"])["SecretString"]
    assert '"POSTGRES_USER": "ingest"' in secret


def test_the_job_reads_every_table_and_writes_none(
    account: Account, session: boto3.session.Session, source: psycopg.Connection[Any]
) -> None:
    value = session.client("secretsmanager").get_secret_value(SecretId="POSTGRESQL")["SecretString"]
    fields = json.loads(value)
    with psycopg.connect(
        host=fields["POSTGRES_HOST"],
        port=fields["POSTGRES_PORT"],
        user=fields["POSTGRES_USER"],
        password=fields["POSTGRES_PASSWORD"],
        dbname=fields["POSTGRES_DB"],
        autocommit=True,
    ) as job:
        assert job.execute('SELECT min("orderNumber") FROM sales."Orders"').fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            job.execute("DELETE FROM public.mockrecord")
