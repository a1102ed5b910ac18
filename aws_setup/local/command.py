"""`python -m aws_setup local [-- COMMAND…]`: runs a command in a new or a running AWS account on localhost."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from aws_setup.local import environment
from aws_setup.local.account import LocalAccount
from aws_setup.local.dotenv import refuse_dotenv
from aws_setup.local.home import Home
from aws_setup.local.processes.child import Child
from aws_setup.local.services.postgres import client_programs
from aws_setup.source_database import read_dsn

DEFAULT_HOME = Path(__file__).parents[2] / ".local"
NOT_FOUND = 127
_END_SECONDS = 20
"""How long a command may take to end after SIGTERM or SIGHUP. After Ctrl-C it may take any time."""


def run(
    command: Sequence[str],
    *,
    source_dsn: str | None = None,
    home: Path | None = None,
    postgres_port: int | None = None,
    s3a: bool = False,
) -> int:
    """Start the local account, run `command` in it, stop everything, and return the exit code of the command.

    The code is 128 + n when signal n ended the command or the launcher, and 127 when there is no such command. Without
    a command it prints the variables to export, and the account runs until Ctrl-C. With `-` as `source_dsn` the DSN is
    the first line of standard input, so that its password does not appear in the process table. `home` is `.local` by
    default. `s3a` as in LocalAccount.
    """
    refuse_dotenv(Path.cwd())
    if command and shutil.which(command[0], path=environment.with_own_programs(os.environ)["PATH"]) is None:
        _say(f"error: {command[0]}: command not found")
        return NOT_FOUND
    dsn = None if source_dsn is None else read_dsn(source_dsn)
    account = LocalAccount(home or DEFAULT_HOME, source_dsn=dsn, postgres_port=postgres_port, s3a=s3a, report=_say)
    signals = _Signals()
    try:
        with signals, account:
            return _run_command(command, signals) if command else _stay_up(account)
    except _Ended as end:
        return 128 + end.number


def attach(command: Sequence[str], *, home: Path | None = None) -> int:
    """Replace this process by `command`, in the environment of the account that runs in `home`.

    Without a command it prints the variables to export and returns 0. It returns 127 when there is no such command.
    Raises NoAccountError when no account runs there.
    """
    refuse_dotenv(Path.cwd())
    variables = Home(home or DEFAULT_HOME).running()
    foreign = environment.foreign(variables)
    if not command:
        _print_exports(variables, foreign)
        return 0
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    environ = environment.with_own_programs({**inherited, **variables}, also=client_programs())
    program = shutil.which(command[0], path=environ["PATH"])
    if program is None:
        _say(f"error: {command[0]}: command not found")
        return NOT_FOUND
    return os.execve(program, list(command), environ)  # noqa: S606 (the user's own command)


class _Ended(BaseException):
    """A signal asked the launcher to end while no command was running. `except Exception` must not catch it."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Signals:
    """Handles SIGINT, SIGTERM and SIGHUP: ends the launcher, or passes the signal to a running command.

    Ctrl-C in a terminal reaches only the command, which has the terminal. Other signals come to the launcher.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.command: Child | None = None
        self._ending = False

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._handle) for number in self._NUMBERS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._kill)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._ending:
            return  # the account is already stopping
        if self.command is None:
            self._ending = True
            raise _Ended(number)
        self.command.send_signal(signal.Signals(number))
        if number != signal.SIGINT:
            signal.alarm(_END_SECONDS)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        if self.command is not None:
            self.command.send_signal(signal.SIGKILL)


def _run_command(command: Sequence[str], signals: _Signals) -> int:
    environ = environment.with_own_programs(os.environ)
    with Child(command, env=environ, stdin=None, foreground=True) as child:
        signals.command = child
        return child.wait()


def _print_exports(variables: Mapping[str, str], removed: Sequence[str]) -> None:
    for name in removed:
        print(f"unset {name}")
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()


def _stay_up(account: LocalAccount) -> int:
    try:
        _print_exports(account.environment, account.removed)
        _say("Ctrl-C stops the account")
        while True:
            signal.pause()
    except _Ended as end:
        if end.number == signal.SIGINT:
            return 0
        raise


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # at once: steps report from several threads
    sys.stderr.flush()
