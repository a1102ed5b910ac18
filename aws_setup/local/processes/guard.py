"""The parent of a child process, which ends the child and all its descendants whatever happens to the launcher.

`processes.Child` runs it as a program, with only the standard library. A parent-death signal reaches only the direct
child, but Spark (bash, java, python) and `dagster dev` have descendants in groups and sessions of their own. So the
guard adopts orphans (Linux: child subreaper), and ends every process below it when its command ends. It ends the
command when the pipe to the launcher breaks, which happens however the launcher dies. The command gets the parent-death
signal of the guard. macOS has neither; there the guard finds descendants only while their parents live.

Arguments: a JSON object (see `Options`), then the command. Each byte on the pipe is the number of a signal for the
command. The exit code is the command's, 128 + n when signal n ended it, and 127 or 126 when it cannot be run.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT = 1, 28, 36, 47  # linux/prctl.h
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IGNORED = (signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_REST_GRACE = 2.0
_POLL = 0.02


class Options(NamedTuple):
    """The options of the launcher.

    `life` is the read end of the pipe. `stop_signal` is sent when the launcher has died, and SIGKILL follows `grace`
    seconds later. `terminal` is the launcher's process group if the command is to replace it in the foreground of the
    terminal. The command runs as `user` (uid, gid). The descriptors in `hold` stay open until the end.
    """

    life: int
    stop_signal: int
    grace: float
    terminal: int | None
    user: tuple[int, int] | None
    hold: tuple[int, ...]


class Guard:
    """Starts the command and ends it with all its descendants."""

    def __init__(self, options: Options, command: list[str]) -> None:
        self._options = options
        self._command = command
        self._launcher: int | None = options.life
        self._status: int | None = None
        self._deadline: float | None = None
        self._force = False

    def run(self) -> int:
        """Run the command and return its exit code when no descendant is left."""
        for descriptor in (self._options.life, *self._options.hold):
            os.set_inheritable(descriptor, False)
        wake = _watch_signals()
        if _LINUX:
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._child = self._start()
        while self._status is None:
            self._step(wake)
        self._end_the_rest()
        self._give_terminal_back()
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def _start(self) -> int:
        child = os.fork()
        if child == 0:
            self._become_command()
        with contextlib.suppress(OSError):  # the child does the same; one of them is first
            os.setpgid(child, child)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # so that pipes close with the command
            os.dup2(nothing, descriptor)
        return child

    def _become_command(self) -> NoReturn:
        guard = os.getppid()
        os.setpgid(0, 0)
        if self._options.terminal is not None:
            _take_terminal(self._options.terminal, os.getpgrp())
        try:
            if self._options.user is not None:
                become(*self._options.user)
            if _LINUX:
                _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)
            for number in (*_PASSED_ON, *_IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(self._command[0], self._command)  # noqa: S606 (a list of arguments, no shell)
        except OSError as error:
            os.write(2, f"{self._command[0]}: {error.strerror}\n".encode())
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)

    def _step(self, wake: int) -> None:
        watched = [wake] if self._launcher is None else [wake, self._launcher]
        timeout = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout)
        if wake in ready:
            for number in os.read(wake, 512):
                if number in _PASSED_ON:
                    self._signal(number)
            self._reap()
        if self._launcher in ready:
            self._hear_launcher()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._kill()
            self._deadline = time.monotonic() + _POLL

    def _hear_launcher(self) -> None:
        numbers = os.read(self._options.life, 512)
        for number in numbers:
            if number == signal.SIGKILL:
                self._kill()
            else:
                self._signal(number)
        if not numbers:
            self._launcher = None
            self._signal(self._options.stop_signal)
            self._deadline = time.monotonic() + self._options.grace

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, number)

    def _kill(self) -> None:
        self._force = True
        _signal_all(signal.SIGKILL)

    def _reap(self) -> bool:
        """Collect the children that have ended; returns whether any are left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if os.WIFSTOPPED(status):
                # Ctrl-Z: the shell of the launcher does not know this group and could not continue it.
                if os.WSTOPSIG(status) == signal.SIGTSTP and pid == self._child:
                    self._signal(signal.SIGCONT)
            elif pid == self._child:
                self._status = status

    def _end_the_rest(self) -> None:
        deadline = time.monotonic() + _REST_GRACE
        if not self._force and self._reap():
            _signal_all(signal.SIGTERM)
        while self._reap():
            if self._force or time.monotonic() >= deadline:
                _signal_all(signal.SIGKILL)
            time.sleep(_POLL)

    def _give_terminal_back(self) -> None:
        if self._options.terminal is not None:
            _take_terminal(self._child, self._options.terminal)


def become(uid: int, gid: int) -> None:
    """Become this user permanently and keep, where the system allows it, root's access to closed folders.

    PostgreSQL refuses to run as root, and other users cannot reach a checkout below a home folder of mode 0700. The
    ambient capability CAP_DAC_OVERRIDE survives the exec; without it the modes of the folders apply. The secure bit
    keeps the capability through setuid and through access(2), which otherwise drops it for all users except root.
    """
    if _LINUX:
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if _LINUX:
        bit = 1 << _CAP_DAC_OVERRIDE
        header = struct.pack("II", _CAPABILITY_VERSION_3, 0)
        ctypes.CDLL(None).capset(header, struct.pack("6I", bit, bit, bit, 0, 0, 0))
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


def _prctl(option: int, first: int, second: int = 0) -> None:
    ctypes.CDLL(None).prctl(option, first, second, 0, 0)


def _watch_signals() -> int:
    """Ignore the signals of the terminal. The returned descriptor yields the number of each signal that arrives."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in (*_PASSED_ON, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    return read


def _take_terminal(holder: int, group: int) -> None:
    """Move `group` into the foreground of the terminal if `holder` is there now."""
    with contextlib.suppress(OSError):  # no terminal
        terminal = os.open("/dev/tty", os.O_RDWR)
        try:
            if os.tcgetpgrp(terminal) == holder:
                os.tcsetpgrp(terminal, group)
        finally:
            os.close(terminal)


def _signal_all(number: int) -> None:
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`."""
    children: dict[int, list[int]] = {}
    for process, parent in _processes():
        children.setdefault(parent, []).append(process)
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Pairs of process and parent."""
    if not _LINUX:
        listing = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=False).stdout
        for line in listing.splitlines():
            process, parent = line.split()
            yield int(process), int(parent)
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # pid (program name, which may contain anything) state parent …
                yield int(entry.name), int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])


if __name__ == "__main__":
    fields = json.loads(sys.argv[1])
    sys.exit(Guard(Options(**fields), sys.argv[2:]).run())
