"""The folder of a local account: the data that survives a restart, and a lock against a second account."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from aws_setup.local.errors import AccountInUseError, NoAccountError
from ingest_assets.aws.waiting import polls

BUCKET = "data-lake-local"

_DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"
_LAST_HOLDER_SECONDS = 10.0


class Home:
    """Paths below the folder `root`: the database, the lake (a folder per bucket), Dagster's home, logs, scratch."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.postgres = self.root / "postgres"
        self.lake = self.root / "lake"
        self.dagster = self.root / "dagster"
        self.logs = self.root / "logs"
        self.work = self.root / "work"
        self.copies = self.work / "objects"
        self.console = self.root / "console.json"
        self._environment = self.root / "environment.json"

    def prepare(self) -> None:
        """Create the folders, empty the scratch folder, and copy the project's dagster.yaml into Dagster's home."""
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in (self.lake / BUCKET, self.dagster, self.logs, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        if _DAGSTER_YAML.exists():
            shutil.copyfile(_DAGSTER_YAML, self.dagster / "dagster.yaml")

    def pepper(self) -> str:
        """The pepper of the account's secret: random, and the same after a restart, so that hashes stay equal."""
        file = self.root / "pepper"
        if not file.exists():
            file.touch(mode=0o600)
        if not (pepper := file.read_text()):
            file.write_text(pepper := secrets.token_hex(32))
        return pepper

    @contextlib.contextmanager
    def published(self, environment: Mapping[str, str]) -> Iterator[None]:
        """Write the variables of the account to a file that only this user can read, and remove it at the end."""
        self._environment.unlink(missing_ok=True)
        with open(os.open(self._environment, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            json.dump(dict(environment), file)
        try:
            yield
        finally:
            self._environment.unlink(missing_ok=True)

    def running(self) -> dict[str, str]:
        """The variables of the account that runs in this folder. Raises NoAccountError when there is none."""
        if not self._is_locked():
            self._environment.unlink(missing_ok=True)  # left behind by an account that was killed
            raise NoAccountError(self.root, "no local account runs")
        try:
            variables: dict[str, str] = json.loads(self._environment.read_text())
        except FileNotFoundError:
            raise NoAccountError(self.root, "the local account is starting or stopping") from None
        return variables

    def _is_locked(self) -> bool:
        """Whether a living account holds the lock. The children of a killed launcher hold it until they end."""
        try:
            lock = os.open(self.root / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _is_alive(os.pread(lock, 20, 0).decode())
        finally:
            os.close(lock)
        return False

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder's lock and yield its descriptor. Raises AccountInUseError naming the process that holds it.

        A child that inherits the descriptor holds the lock until it ends. After a launcher was killed, this waits until
        its children have ended.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(lock)
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            yield lock
            os.ftruncate(lock, 0)
        finally:
            os.close(lock)

    def _take(self, lock: int) -> None:
        holder = ""
        for _ in polls(seconds=_LAST_HOLDER_SECONDS, pause=0.1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(lock, 20, 0).decode()
                if _is_alive(holder):
                    break
            else:
                return
        raise AccountInUseError(self.root, holder)


def _is_alive(pid: str) -> bool:
    if not pid:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
