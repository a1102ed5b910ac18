from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore import exceptions as aws

from aws_setup import cli
from aws_setup.checks.findings import error as finding
from aws_setup.commands import deploy, destroy, preflight, status
from aws_setup.commands.preflight import Preflight
from aws_setup.errors import DeployError, UsageError
from aws_setup.job_bundle import jdbc
from ingest_assets.aws.errors import AwsError
from ingest_assets.aws.stack import StackError
from spark_scripts.contract.database import REQUIRED
from spark_scripts.contract.errors import DataLakeError, InvalidInputError
from tests.unit.aws_setup.fakes import client_error

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make `status` raise this."""

    def failing(error: BaseException) -> None:
        def read(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(status, "read", read)

    return failing


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataLakeError("the work"), 1),
        (DeployError("the stack"), 1),
        (TimeoutError("the time"), 1),
        (AwsError("the call"), 1),
        (AwsError("the way to AWS", unreached=True), 2),
        (UsageError("the usage"), 2),
        (InvalidInputError("the input"), 2),
        (StackError("the stack"), 2),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    failing: Callable[[BaseException], None], capsys: Capture, error: Exception, code: int
) -> None:
    failing(error)
    assert cli.main(["status"]) == code
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_debug_shows_the_traceback(failing: Callable[[BaseException], None], capsys: Capture) -> None:
    failing(DataLakeError("the work"))
    assert cli.main(["status", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(failing: Callable[[BaseException], None], capsys: Capture) -> None:
    failing(KeyboardInterrupt())
    assert cli.main(["status"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (aws.NoCredentialsError(), "no AWS credentials: set AWS_PROFILE", 2),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), "no AWS credentials", 2),
        (aws.NoRegionError(), "no AWS region: set AWS_DEFAULT_REGION", 2),
        (aws.ProfileNotFound(profile="work"), r"profile \(work\) could not be found: check AWS_PROFILE", 2),
        (aws.UnauthorizedSSOTokenError(), "sign-in has expired: sign in again", 2),
        (aws.TokenRetrievalError(provider="sso", error_msg="x"), "sign-in has expired", 2),
        (aws.EndpointConnectionError(endpoint_url="https://cloudformation"), "cannot reach https://cloudformation", 2),
        (aws.ConnectTimeoutError(endpoint_url="https://sqs"), "cannot reach https://sqs", 2),
        (client_error("ExpiredToken"), "session has expired", 2),
        (client_error("InvalidClientTokenId"), r"does not accept the credentials \(InvalidClientTokenId\)", 2),
        (client_error("AccessDenied", "not allowed"), r"DescribeStacks: not allowed \(AccessDenied\)", 1),
        (aws.ParamValidationError(report="x"), "Parameter validation failed", 1),
    ],
)  # fmt: skip
def test_an_error_of_aws_is_one_line(
    failing: Callable[[BaseException], None], capsys: Capture, error: Exception, text: str, code: int
) -> None:
    failing(error)
    assert cli.main(["status"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(text, line), line


@pytest.mark.parametrize(
    "command",
    [
        ["deploy"],
        ["deploy", "--dry-run"],
        ["preflight"],
        ["status"],
        ["trigger"],
        ["secret"],
        ["suggest"],
        ["destroy", "--yes"],
    ],
)
def test_without_credentials_every_command_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, command: list[str]
) -> None:
    fields = {**dict.fromkeys(REQUIRED, "x"), "POSTGRES_PORT": "5432"}
    monkeypatch.setattr("sys.stdin", StringIO("\n".join(f"{name}={value}" for name, value in fields.items())))
    monkeypatch.setattr(jdbc, "driver_jar", lambda: Path("a jar"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert cli.main(command) == 2
    assert capsys.readouterr() == (
        "",
        "error: no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or start Dagster in"
        " the local account with `make dev`\n",
    )


def test_preflight_fails_when_there_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    seen: list[object] = []

    def read(_: object, *given: object) -> Preflight:
        seen.append(given[-1])
        return Preflight("s", "me", ("driver",), (finding("driver", "too old"),))

    monkeypatch.setattr(preflight, "read", read)
    monkeypatch.setenv("INGEST_IGNORE_CHECKS", "release,bucket")
    assert cli.main(["preflight", "--ignore", "network"]) == 1
    assert seen == [["release", "bucket", "network"]]
    assert capsys.readouterr().out.splitlines() == ["identity  ok       me", "driver    error    too old"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments are required: COMMAND"),
        (["deploy", "--parameter", "BucketName"], "'BucketName' is not of the form KEY=VALUE"),
        (["trigger", "--input", "{"], "'{' is not JSON"),
        (["secret", "POSTGRES_PASSWORD=x"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_exit_with_2(capsys: Capture, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("chosen", ["deploy", "dry_run"])
def test_deploy_passes_its_parameters_on(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    seen: list[deploy.DeployRequest] = []
    jar = Path("a jar")
    monkeypatch.setattr(deploy, chosen, lambda _, request, *__: seen.append(request))
    monkeypatch.setattr(jdbc, "driver_jar", lambda: jar)
    monkeypatch.setenv("INGEST_STACK", "mine")
    flags = ["--dry-run"] if chosen == "dry_run" else []
    assert cli.main(["deploy", "--parameter", "A=1", "--parameter", "B=x=y", *flags]) == 0
    assert seen == [deploy.DeployRequest("mine", {"A": "1", "B": "x=y"}, jar, ignore=[])]


def test_a_parameter_of_the_command_line_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Mapping[str, Any]] = []
    monkeypatch.setattr(deploy, "deploy", lambda _, request, *__: seen.append(request.given))
    monkeypatch.setattr(jdbc, "driver_jar", lambda: "a jar")
    path = tmp_path / "production.yaml"
    path.write_text("BucketName: lake\nDriverCores: 4\n")
    assert cli.main(["deploy", "--parameters", str(path), "--parameter", "DriverCores=8"]) == 0
    assert seen == [{"BucketName": "lake", "DriverCores": "8"}]


@pytest.mark.parametrize(
    ("terminal", "flags", "answer", "agreed"),
    [(True, [], "y", True), (True, [], "", False), (True, ["--yes"], "n", True), (False, [], "n", True)],
)
def test_deploy_asks_before_it_creates_a_stack_if_somebody_can_answer(
    terminal: bool, flags: list[str], answer: str, agreed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(deploy, "deploy", lambda *given: seen.append(given[-1]("Make it?")))
    monkeypatch.setattr(jdbc, "driver_jar", lambda: "a jar")
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert cli.main(["deploy", *flags]) == 0
    assert seen == [agreed]


def test_destroy_asks_and_needs_somebody_to_answer(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def ask(*_: object, confirm: Callable[[str], bool], **__: object) -> bool:
        return confirm("Delete?")

    monkeypatch.setattr(destroy, "destroy", ask)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert cli.main(["destroy"]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert cli.main(["destroy", "--yes"]) == 0
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", lambda _: "n")
    assert cli.main(["destroy"]) == 1


def test_local_passes_the_command_and_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[str]] = []

    def run(command: Sequence[str], **_: object) -> int:
        seen.append(command)
        return 7

    module = ModuleType("aws_setup.local.command")
    module.__dict__["run"] = run
    monkeypatch.setitem(sys.modules, "aws_setup.local.command", module)
    monkeypatch.setattr("aws_setup.local.command", module, raising=False)
    assert cli.main(["local", "--", "dagster", "dev", "--port", "3001"]) == 7
    assert seen == [["dagster", "dev", "--port", "3001"]]


@pytest.mark.parametrize("options", [["--s3a"], ["--source-dsn", "-"], ["--postgres-port", "5432"]])
def test_what_an_account_starts_with_is_refused_for_one_that_runs(options: list[str], capsys: Capture) -> None:
    assert cli.main(["local", *options, "--attach", "--", "true"]) == 2
    assert "--source-dsn, --postgres-port and --s3a are for an account that starts" in capsys.readouterr().err


def test_without_the_local_packages_local_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "moto", None)
    for name in [name for name in sys.modules if name.startswith(("aws_setup.local", "moto."))]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["local"]) == 2
    assert "needs the dependency group `local` (moto" in capsys.readouterr().err
