"""The command line: `python -m aws_setup deploy | preflight | status | trigger | dashboard | secret | destroy | local`.

Exit codes: 0 done, 1 the work failed, 2 wrong usage or AWS cannot be reached. Errors are one line on standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from aws_setup.cloudformation import parameters
from aws_setup.commands import dashboard, deploy, destroy, preflight, secret, status, trigger
from aws_setup.errors import UsageError
from aws_setup.job_bundle import jdbc
from ingest_assets import environment
from ingest_assets.aws.errors import AwsError, explain
from ingest_assets.aws.stack import StackError, stack_name
from spark_scripts.contract.database import OPTIONAL, REQUIRED, is_port
from spark_scripts.contract.errors import DataLakeError, InvalidInputError

_INTERRUPTED = 130  # as a shell says of SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)
    except (DataLakeError, BotoCoreError, ClientError, OSError) as error:
        if options.debug:
            traceback.print_exc()
        return _fail(*_told(error))
    return code


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, (BotoCoreError, ClientError)):
        error = explain(error)
    if isinstance(error, AwsError):
        return str(error), 2 if error.unreached else 1
    wrong_usage = isinstance(error, (UsageError, InvalidInputError, StackError))
    return str(error), 2 if wrong_usage else 1


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aws_setup",
        description=f"The AWS side of the ingestion. {environment.STACK} names the stack, {environment.TABLES} another "
        f"tables.yaml, {environment.IGNORE_CHECKS} checks to leave out.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.add_argument("--debug", action="store_true", help="show the traceback of an error")
        made.set_defaults(run=run)
        return made

    _deploy_arguments(command("deploy", _deploy, "create or update the stack, upload the job and the tables"))
    checked = command("preflight", _preflight, "check what a deployment needs, and change nothing")
    _parameter_arguments(checked)
    checked.add_argument("--json", action="store_true", help="as a JSON document")
    shown = command("status", _status, "show the stack, its schedule, executions, queues and applications")
    shown.add_argument("--json", action="store_true", help="as a JSON document")
    shown.add_argument("--no-drift", action="store_true", help="do not wait for CloudFormation's drift detection")
    _trigger_arguments(command("trigger", _trigger, "start an execution"))
    opened = command("dashboard", _dashboard, "print the address of the Spark UI of an execution, good for an hour")
    opened.add_argument("execution", metavar="EXECUTION", help="the name of the execution")
    set_secret = command("secret", _secret, "set the fields of the database secret, read from standard input")
    set_secret.epilog = (
        f"A JSON object, or KEY=VALUE lines: {', '.join(REQUIRED)}, and if you like {', '.join(OPTIONAL)}. A value"
        " in quotes may have several lines."
    )
    _destroy_arguments(command("destroy", _destroy, "delete the stack; the bucket and the secrets stay"))
    _local_arguments(command("local", _local, "run a command in an AWS account on localhost"))
    return parser


def _deploy_arguments(parser: argparse.ArgumentParser) -> None:
    _parameter_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before a stack is made")


def _parameter_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_parameter,
        metavar="KEY=VALUE",
        help="a parameter of template.yaml; those not given keep their value",
    )
    parser.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE",
        help="a YAML file with a mapping of parameters; --parameter wins over it",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=_ignored(),
        choices=preflight.CHECKS,
        metavar="CHECK",
        help=f"leave out a check of the preflight: {', '.join(preflight.CHECKS)}",
    )


def _deploy(options: argparse.Namespace) -> int:
    wanted: dict[str, Any] = {
        "stack": stack_name(),
        "parameters": _parameters(options),
        "tables": None,
        "driver_jar": jdbc.driver_jar(),
        "report": _say,
        "ignore": options.ignore,
    }
    if options.dry_run:
        deploy.dry_run(Session(), **wanted)
        return 0
    # Where nobody can answer, as in a pipeline, a new stack is what was asked for.
    confirm = _agreed if options.yes or not sys.stdin.isatty() else _ask
    deploy.deploy(Session(), **wanted, confirm=confirm)
    return 0


def _preflight(options: argparse.Namespace) -> int:
    found = preflight.read(Session(), stack_name(), _parameters(options), jdbc.driver_jar, options.ignore)
    print(found.to_json() if options.json else found.to_text())
    return 1 if found.failed else 0


def _ignored() -> list[str]:
    """The checks that INGEST_IGNORE_CHECKS leaves out always, with commas between."""
    return [name for name in (environment.read(environment.IGNORE_CHECKS) or "").split(",") if name]


def _parameters(options: argparse.Namespace) -> dict[str, str]:
    listed = parameters.from_file(options.parameters) if options.parameters else {}
    return {**listed, **dict(options.parameter)}


def _status(options: argparse.Namespace) -> int:
    found = status.read(Session(), stack_name(), drift=not options.no_drift)
    print(found.to_json() if options.json else found.to_text())
    return 0


def _trigger_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input",
        type=_json,
        metavar="JSON",
        help='{"table": "mockrecord", "months": ["2024-02"]}, or {} for everything; default: what the schedule sends',
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="follow the execution to its end")
    how.add_argument(
        "--estimate", action="store_true", help="say what it will probably take and cost, and start nothing"
    )


def _trigger(options: argparse.Namespace) -> int:
    session = Session()
    if options.estimate:
        _say(trigger.foretell(session, stack_name(), options.input))
        return 0
    started = trigger.start(session, stack_name(), options.input, _say)
    if not options.wait:
        return 0
    try:
        return 0 if trigger.wait(session, started, _say) else 1
    except KeyboardInterrupt:
        return _fail(f"interrupted: the execution {started.name} goes on", _INTERRUPTED)


def _dashboard(options: argparse.Namespace) -> int:
    print(dashboard.address(Session(), stack_name(), options.execution))
    return 0


def _port(text: str) -> int:
    if not is_port(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return int(text)


def _secret(_: argparse.Namespace) -> int:
    secret.set_from(sys.stdin, Session(), stack_name(), _say)
    return 0


def _destroy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--delete-data", action="store_true", help="delete the bucket, its objects and the secrets too")


def _destroy(options: argparse.Namespace) -> int:
    confirm = _agreed if options.yes else _confirm
    done = destroy.destroy(Session(), stack_name(), delete_data=options.delete_data, confirm=confirm, report=_say)
    return 0 if done else 1


def _local_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "python -m aws_setup local [-h] [--debug] [--source-dsn DSN] [--home DIR] [--postgres-port PORT] [-- COMMAND …]"
        "\n       python -m aws_setup local [--home DIR] (--attach -- COMMAND … | --env)"
    )
    parser.add_argument(
        "--source-dsn",
        metavar="DSN",
        help="the database to ingest: a URL or key=value pairs; -: read from standard input",
    )
    parser.add_argument("--home", type=Path, metavar="DIR", help="where database and lake are kept (default: .local)")
    parser.add_argument(
        "--attach", action="store_true", help="run the command in the local account that runs already (`make dev`)"
    )
    parser.add_argument("--env", action="store_true", help="print the variables of the account that runs already")
    parser.add_argument(
        "--postgres-port", type=_port, metavar="PORT", help="of the sample database (default: a free one)"
    )
    parser.add_argument("arguments", nargs="*", metavar="COMMAND", help="runs with the environment set; none: stay up")


def _local(options: argparse.Namespace) -> int:
    from aws_setup.local.packages import require_packages  # noqa: PLC0415 (production installs lack the packages)

    require_packages()
    from aws_setup.local import command  # noqa: PLC0415 (imports them)

    if options.attach or options.env:
        return command.attach(_attached(options), home=options.home)
    return command.run(
        options.arguments, source_dsn=options.source_dsn, home=options.home, postgres_port=options.postgres_port
    )


def _attached(options: argparse.Namespace) -> list[str]:
    """The command to run in the account that runs already; none to print its variables."""
    arguments: list[str] = options.arguments
    if options.source_dsn is not None or options.postgres_port is not None:
        raise UsageError("--source-dsn and --postgres-port are for an account that starts: leave them out")
    if bool(arguments) is options.env:
        raise UsageError("give --attach with a command after `--`, or --env alone")
    return arguments


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return name, value


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error})") from error


def _agreed(_: str) -> bool:
    return True


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("destroy asks before it deletes: give --yes where nobody can answer")
    return _ask(question)


def _ask(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _say(line: str) -> None:
    print(line, flush=True)
