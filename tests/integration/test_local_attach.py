"""A second terminal in the local account, its pages behind Dagster's links, and changes of tables.yaml."""

from __future__ import annotations

import gzip
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from aws_setup.local.console_pages import Console
from aws_setup.local.tables_watch import TablesWatch
from ingest_assets.aws import console_links
from spark_scripts.contract.layout import TABLES_KEY
from spark_scripts.contract.tables import tables_from_json
from tests.integration.conftest import ROOT, Account, local

ARN = "arn:aws:states:us-east-1:123456789012:execution:EMRServerlessStepFunction:gone"


def attached(account: Account, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a shell of the user, which points at his own AWS account, gets."""
    environ = {name: value for name, value in os.environ.items() if name not in account.environment}
    environ |= {"AWS_PROFILE": "production", "AWS_SESSION_TOKEN": "his own"}
    command = local("--home", account.lake.parent, *arguments)
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_a_command_in_a_second_terminal_reaches_the_account_and_its_database(account: Account) -> None:
    script = (
        "import os, boto3, psycopg; assert not {'AWS_PROFILE', 'AWS_SESSION_TOKEN'} & os.environ.keys();"
        "print(boto3.client('sts').get_caller_identity()['Account']);"
        "print(psycopg.connect(os.environ['SOURCE_DSN']).execute('SELECT min(id) FROM mockrecord').fetchone())"
    )
    done = attached(account, "--attach", "--", "python", "-c", script)
    assert (done.returncode, done.stdout) == (0, "123456789012\n(1,)\n"), done.stderr
    psql = attached(account, "--attach", "--", "sh", "-c", 'psql "$SOURCE_DSN" -Atc "SELECT 6 * 7"')
    assert (psql.returncode, psql.stdout) == (0, "42\n"), psql.stderr
    assert attached(account, "--attach", "--", "sh", "-c", "exit 5").returncode == 5
    assert attached(account, "--attach", "--", "no-such-program").returncode == 127


def test_the_variables_can_be_taken_over_by_a_shell(account: Account) -> None:
    printed = attached(account, "--env")
    shell = f"{printed.stdout}\nenv"
    environ = {"PATH": os.environ["PATH"], "AWS_PROFILE": "production"}
    done = subprocess.run(["/bin/sh", "-c", shell], env=environ, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found["SOURCE_DSN"] == account.source_dsn
    assert found["AWS_ENDPOINT_URL"] == account.environment["AWS_ENDPOINT_URL"]
    assert "AWS_PROFILE" not in found


def test_the_secrets_of_the_account_are_in_files_that_only_the_user_can_read(account: Account) -> None:
    home = account.lake.parent
    secrets = [account.environment["AWS_SECRET_ACCESS_KEY"], account.environment["INGEST_CONSOLE_URL"][-22:]]
    holding = [
        path
        for path in home.glob("*")
        if path.is_file() and any(secret in path.read_text(errors="replace") for secret in secrets)
    ]
    assert sorted(path.name for path in holding) == ["console.json", "environment.json"]
    assert {path.stat().st_mode & 0o777 for path in holding} == {0o600}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attach"], "give --attach with a command after `--`, or --env alone"),
        (["--env", "--", "true"], "give --attach with a command after `--`, or --env alone"),
        (["--attach", "--source-dsn", "x", "--", "true"], "are for an account that starts: leave them out"),
    ],
)
def test_what_does_not_go_together_is_refused(account: Account, arguments: list[str], message: str) -> None:
    done = attached(account, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Console]:
    folder = tmp_path / "lake" / "bucket" / "raw-layer" / "orders" / "year=2024"
    folder.mkdir(parents=True)
    (folder / "part 0.csv").write_text("a,b\n<script>,1\n")
    (folder / "stdout.gz").write_bytes(gzip.compress(b"the last line"))
    (tmp_path / "secret").write_text("not in the lake")
    with Console(tmp_path / "lake", tmp_path / "console.json") as pages:
        yield pages


def get(url: str) -> tuple[int, str, bytes]:
    """Status, kind and content of a page."""
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 (of the loopback address)
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def test_the_links_of_a_month_lead_to_its_folder_and_from_there_to_its_files(
    pages: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_CONSOLE_URL", pages.url)
    link = console_links.folder_url(ARN, "bucket", "raw-layer/orders/year=2024/")
    status, kind, body = get(link)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b'<a href="bucket?prefix=raw-layer/orders/year%3D2024/part%200.csv">part 0.csv</a>' in body
    base = link.partition("?")[0]
    csv = get(f"{base}?prefix=raw-layer/orders/year%3D2024/part%200.csv")
    assert csv == (200, "text/plain; charset=utf-8", b"a,b\n<script>,1\n")
    _, _, log = get(f"{base}?prefix=raw-layer/orders/year%3D2024/stdout.gz")
    assert gzip.decompress(log) == b"the last line"  # urllib leaves to us what a browser does


def test_nothing_but_the_lake_is_shown_and_that_to_nobody_without_the_token(pages: Console) -> None:
    outside = get(f"{pages.url}/s3/buckets/bucket?prefix=../../secret")
    assert outside[0] == 404
    assert b"not in the lake" not in outside[2]
    address, _, _ = pages.url.rpartition("/")
    for url in (f"{address}/", f"{address}/wrong/s3/buckets/bucket", f"{pages.url}x/s3/buckets/bucket"):
        assert get(url)[0] == 404


def test_port_and_token_are_those_of_the_start_before(tmp_path: Path) -> None:
    memory = tmp_path / "console.json"
    with Console(tmp_path, memory) as first:
        pass
    with Console(tmp_path, memory) as second:
        assert second.url == first.url
        with Console(tmp_path, tmp_path / "console.json") as third:  # its port is taken now
            assert third.url != second.url


def test_the_link_of_an_execution_leads_to_its_states(account: Account) -> None:
    page, _, fragment = console_links.execution_url(ARN).partition("#")
    assert page.startswith(account.environment["INGEST_CONSOLE_URL"])
    assert b"location.replace('../executions/' + location.hash.split('/').pop())" in get(page)[2]
    status, _, body = get(f"{page.partition('/states')[0]}/executions/{fragment.rpartition('/')[2]}")
    assert status == 404
    assert b"ExecutionDoesNotExist" in body


def test_a_change_of_tables_yaml_reaches_the_job_and_a_mistake_does_not(account: Account, tmp_path: Path) -> None:
    bucket, client = "another-bucket", boto3.session.Session().client("s3")
    (account.lake / bucket).mkdir()
    path = tmp_path / "tables.yaml"
    entry = "- {name: %s, table: public.orders, date_column: at, first_month: 2024-01}\n"
    path.write_text(entry % "one")
    said: list[str] = []
    with TablesWatch(path, client, bucket, said.append):
        path.write_text(entry % "one" + entry % "two")
        wait_for(said, 1)
        deployed = client.get_object(Bucket=bucket, Key=TABLES_KEY)["Body"].read().decode()
        assert list(tables_from_json(deployed)) == ["one", "two"]
        path.write_text("- {name: three}")
        wait_for(said, 2)
    assert said[0] == f"{path} has changed, and jobs use the new tables: reload the definitions in Dagster"
    assert said[1].startswith(f"{path} has changed, but jobs still use the old tables: ")
    assert "table: the key is missing" in said[1]
    assert client.get_object(Bucket=bucket, Key=TABLES_KEY)["Body"].read().decode() == deployed


def wait_for(said: list[str], count: int) -> None:
    deadline = time.monotonic() + 10
    while len(said) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(said) == count
