"""Child processes that never outlive the process that started them, however it dies."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_GUARD = Path(__file__).with_name("guard.py")


class ProgramNotFoundError(FileNotFoundError):
    """PATH has no such program."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program}: command not found")


class Child(contextlib.AbstractContextManager["Child"]):
    """A running command in a process group of its own, below a guard process (`guard.py`).

    When this process dies (also by SIGKILL) or the command ends, the guard ends the command and all its descendants,
    including those in other groups and sessions. The process table shows the arguments, so pass secrets in `env`.

    `stop_signal` asks the command to end, and SIGKILL follows `grace` seconds later. With `foreground` the command gets
    the terminal: it can read from it, and only it receives Ctrl-C. `user` (uid, gid) needs root. The descriptors in
    `hold`, of a lock for example, stay open until the last process has ended. `stdin`, `stdout` and `stderr` are those
    of Popen.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        foreground: bool = False,
        user: tuple[int, int] | None = None,
        hold: Sequence[int] = (),
    ) -> None:
        """Start the command. Raises ProgramNotFoundError, and OSError when `cwd` cannot be entered."""
        command = [os.fspath(argument) for argument in args]
        environment = os.environ if env is None else env
        _check_program(command[0], environment, cwd)
        self._stop_signal, self._grace = stop_signal, grace
        life, self._life = os.pipe()
        options = {
            "life": life,
            "stop_signal": int(stop_signal),
            "grace": grace,
            "terminal": os.getpgrp() if foreground else None,
            "user": user,
            "hold": list(hold),
        }
        try:
            self._guard = subprocess.Popen(  # noqa: S603 (a list, no shell)
                [sys.executable, "-I", "-S", _GUARD, json.dumps(options), *command],
                env=environment,
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(life, *hold),
                start_new_session=not foreground,
                process_group=0 if foreground else None,
            )
        except BaseException:
            os.close(self._life)
            raise
        finally:
            os.close(life)

    @property
    def pid(self) -> int:
        """The process id of the guard, which is the root of the command's process tree."""
        return self._guard.pid

    @property
    def stdout(self) -> IO[bytes] | None:
        """The output of a command that was started with `stdout=PIPE`."""
        return self._guard.stdout

    @property
    def stderr(self) -> IO[bytes] | None:
        """The errors of a command that was started with `stderr=PIPE`."""
        return self._guard.stderr

    def poll(self) -> int | None:
        """The exit code (128 + n when signal n ended the command), None while the command runs."""
        return self._guard.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once the command and its descendants have ended.

        Raises subprocess.TimeoutExpired after `timeout` seconds.
        """
        return self._guard.wait(timeout)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's process group; SIGKILL goes to all descendants. Does nothing after its end."""
        if self._guard.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._life, bytes([number]))

    def stop(self, number: signal.Signals | None = None, grace: float | None = None) -> int:
        """Send the signal, then SIGKILL to all that is left after `grace` seconds, and return the exit code.

        It may be called repeatedly and from any thread.
        """
        self.send_signal(number or self._stop_signal)
        try:
            return self._guard.wait(self._grace if grace is None else grace)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGKILL)
            return self._guard.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.close()

    def close(self) -> None:
        """Close the pipe to the guard, which then ends a command that still runs."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # __init__ failed before it set the attribute
            self.close()


def _check_program(program: str, environment: Mapping[str, str], cwd: Path | None) -> None:
    named = str((cwd or Path()) / program) if os.sep in program else program
    if shutil.which(named, path=environment.get("PATH")) is None:
        raise ProgramNotFoundError(program)
