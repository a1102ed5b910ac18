"""Finds the PostgreSQL JDBC driver.

It looks, in this order, at the jar that POSTGRES_JDBC_JAR names; at the Maven and Ivy folders of the user; at Maven
Central, by Spark's resolver; and at Debian's package libpostgresql-jdbc-java, which it unpacks without root if it is
not installed. A driver found in another way than the first is copied to `.local/cache/jdbc` and used from there; delete
that folder to search again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from aws_setup.job_bundle.java import JavaNotFoundError, java_home
from aws_setup.job_bundle.programs import succeeds
from ingest_assets.environment import JAVA_HOME, JDBC_JAR
from spark_scripts.contract.errors import DataLakeError

CACHE = Path(__file__).parents[2] / ".local" / "cache" / "jdbc"
COORDINATES = "org.postgresql:postgresql:42.7.13"
OLDEST_SAFE = (42, 7, 7)
"""Older releases may skip a requested channel binding (CVE-2025-49146)."""

_DEBIAN_PACKAGE = "libpostgresql-jdbc-java"
_DEBIAN_JAR = Path("/usr/share/java/postgresql.jar")
# Maven Central answers or refuses within seconds, and a name that cannot be resolved fails after 3 s.
_IVY_SECONDS = 45
_APT_SECONDS = 60


class DriverNotFoundError(DataLakeError):
    """The PostgreSQL JDBC driver was not found, or the given jar is not this driver."""


def driver_jar(
    *,
    cache: Path = CACHE,
    environ: Mapping[str, str] = os.environ,
    homes: Sequence[Path] | None = None,
    debian_jar: Path = _DEBIAN_JAR,
) -> Path:
    """The driver's jar, copied to the folder `cache` unless POSTGRES_JDBC_JAR in `environ` names it.

    `homes` are the folders whose `.m2` and `.ivy2` are searched (default: the user's). `debian_jar` is the path at
    which Debian's package installs the driver. Raises DriverNotFoundError, which names what was tried and what to do.
    """
    if environ.get(JDBC_JAR):
        return _named(Path(environ[JDBC_JAR]))
    if cached := _newest(cache.glob("postgresql-*.jar")):
        return cached
    ways: tuple[Callable[[Path], Path], ...] = (
        partial(_from_folders, _homes() if homes is None else homes),
        partial(_from_spark, environ),
        partial(_from_debian, debian_jar, environ),
    )
    reasons = []
    with tempfile.TemporaryDirectory() as scratch:
        for way in ways:
            try:
                return _keep(way(Path(scratch)), cache)
            except DriverNotFoundError as reason:
                reasons.append(str(reason))
    raise DriverNotFoundError(
        f"no PostgreSQL JDBC driver: set POSTGRES_JDBC_JAR to the jar, or let Spark fetch {COORDINATES} from Maven"
        f" Central, or install Debian's {_DEBIAN_PACKAGE} (tried: {'; '.join(reasons)})"
    )


def driver_version(jar: Path) -> tuple[int, ...]:
    """The driver's version, such as (42, 7, 13). Raises DriverNotFoundError when `jar` is not this driver."""
    try:
        with zipfile.ZipFile(jar) as archive:
            archive.getinfo("org/postgresql/Driver.class")
            manifest = archive.read("META-INF/MANIFEST.MF").decode()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DriverNotFoundError(f"{jar} is not the PostgreSQL JDBC driver ({error})") from error
    match = re.search(r"^(?:Implementation|Bundle)-Version: (\d+(?:\.\d+)*)", manifest, re.MULTILINE)
    if match is None:
        raise DriverNotFoundError(f"{jar} has no version in its manifest")
    return tuple(int(part) for part in match[1].split("."))


def _named(jar: Path) -> Path:
    try:
        driver_version(jar)
    except DriverNotFoundError as error:
        raise DriverNotFoundError(f"{JDBC_JAR}: {error}") from error
    return jar.resolve()


def _keep(jar: Path, cache: Path) -> Path:
    name = f"postgresql-{'.'.join(map(str, driver_version(jar)))}.jar"
    cache.mkdir(parents=True, exist_ok=True)
    partial_copy = cache / f".{name}.{os.getpid()}"
    shutil.copyfile(jar, partial_copy)
    return partial_copy.replace(cache / name)


def _newest(jars: Iterable[Path], oldest: tuple[int, ...] = ()) -> Path | None:
    versions: dict[tuple[int, ...], Path] = {}
    for jar in jars:
        with contextlib.suppress(DriverNotFoundError):  # damaged, or the sources
            versions[driver_version(jar)] = jar
    newest = max(versions, default=())
    return versions[newest] if versions and newest >= oldest else None


def _homes() -> Iterator[Path]:
    """The home folders of HOME and of the user database; Java uses the latter."""
    yield Path.home()
    with contextlib.suppress(KeyError):
        yield Path(pwd.getpwuid(os.getuid()).pw_dir)


def _from_folders(homes: Iterable[Path], _scratch: Path) -> Path:
    folders = (".m2/repository/org/postgresql/postgresql/*", ".ivy2/jars", ".ivy2/cache/org.postgresql/postgresql/jars")
    found = _newest(
        (jar for home in homes for folder in folders for jar in home.glob(f"{folder}/*postgresql-*.jar")), OLDEST_SAFE
    )
    if found is None:
        raise DriverNotFoundError("no version 42.7.7 or newer below ~/.m2 and ~/.ivy2")
    return found


def _from_spark(environ: Mapping[str, str], scratch: Path) -> Path:
    """Let spark-submit download the package. It then fails because there is no class to run, which does not matter."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise DriverNotFoundError("pyspark is not installed")
    try:
        home = java_home(environ)
    except JavaNotFoundError as error:
        raise DriverNotFoundError(str(error)) from error
    spark = Path(spec.origin).parent
    command: list[str | Path] = [
        spark / "bin" / "spark-submit",
        *("--packages", COORDINATES, "--exclude-packages", "org.checkerframework:checker-qual"),
        *("--conf", f"spark.jars.ivy={scratch / 'ivy'}", "--master", "local", "--class", "none.Such", "spark-internal"),
    ]
    environment = {**environ, JAVA_HOME: str(home), "SPARK_HOME": str(spark), "PYSPARK_PYTHON": sys.executable}
    succeeds(command, scratch, _IVY_SECONDS, environment)
    found = _newest(scratch.glob("ivy/jars/*postgresql-*.jar"))
    if found is None:
        raise DriverNotFoundError(f"Spark could not resolve {COORDINATES} from Maven Central")
    return found


def _from_debian(installed: Path, environ: Mapping[str, str], scratch: Path) -> Path:
    if installed.exists():
        return installed
    if shutil.which("apt-get", path=environ.get("PATH")) is None:
        raise DriverNotFoundError(f"{_DEBIAN_PACKAGE}: apt-get is missing, so this is not Debian")
    download = ["apt-get", "download", _DEBIAN_PACKAGE]
    if not succeeds(download, scratch, _APT_SECONDS, environ):
        succeeds(["apt-get", "update"], scratch, _APT_SECONDS, environ)  # package lists are missing or old
        succeeds(download, scratch, _APT_SECONDS, environ)
    for package in scratch.glob(f"{_DEBIAN_PACKAGE}_*.deb"):
        if succeeds(["dpkg-deb", "-x", package, scratch / "debian"], scratch, _APT_SECONDS, environ):
            return scratch / "debian" / _DEBIAN_JAR.relative_to("/")
    raise DriverNotFoundError(f"`apt-get download {_DEBIAN_PACKAGE}` failed")
