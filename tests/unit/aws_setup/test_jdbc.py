import zipfile
from pathlib import Path

import pytest

from aws_setup.job_bundle.jdbc import DriverNotFoundError, driver_jar, driver_version

NOTHING = {"PATH": "/nonexistent"}
"""An environment in which neither Spark nor Debian's tools can run."""


def jar(path: Path, version: str, manifest: str = "Implementation-Version: {}\r\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n" + manifest.format(version))
        archive.writestr("org/postgresql/Driver.class", version)
    return path


def maven(home: Path, version: str) -> Path:
    return home / f".m2/repository/org/postgresql/postgresql/{version}/postgresql-{version}.jar"


def test_the_jar_in_the_environment_comes_first_and_is_not_copied(tmp_path: Path) -> None:
    named = jar(tmp_path / "mine.jar", "42.2.5")
    jar(tmp_path / "cache" / "postgresql-42.7.13.jar", "42.7.13")
    assert driver_jar(cache=tmp_path / "cache", environ={"POSTGRES_JDBC_JAR": str(named)}) == named
    assert driver_version(named) == (42, 2, 5)


@pytest.mark.parametrize("content", [None, b"not a zip"])
def test_a_named_jar_that_is_not_the_driver_is_refused_and_not_ignored(tmp_path: Path, content: bytes | None) -> None:
    named = tmp_path / "mine.jar"
    if content is not None:
        named.write_bytes(content)
    with pytest.raises(DriverNotFoundError, match=r"^POSTGRES_JDBC_JAR: .*mine\.jar is not the PostgreSQL JDBC driver"):
        driver_jar(cache=tmp_path / "cache", environ={"POSTGRES_JDBC_JAR": str(named)})


def test_the_newest_jar_of_maven_and_ivy_is_copied_and_found_there_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    jar(maven(home, "42.7.8"), "42.7.8")
    newest = jar(home / ".ivy2/jars/org.postgresql_postgresql-42.7.13.jar", "42.7.13")
    jar(maven(home, "42.7.9"), "42.7.9")
    cached = driver_jar(cache=tmp_path / "cache", environ=NOTHING, homes=[home])
    assert cached == tmp_path / "cache" / "postgresql-42.7.13.jar"
    assert cached.read_bytes() == newest.read_bytes()
    assert driver_jar(cache=tmp_path / "cache", environ=NOTHING, homes=[]) == cached


def test_damaged_and_unsafe_jars_of_the_caches_are_skipped_and_debian_s_is_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    jar(maven(home, "42.7.6"), "42.7.6")
    maven(home, "42.7.14").parent.mkdir(parents=True)
    maven(home, "42.7.14").write_bytes(b"half a download")
    debian = jar(tmp_path / "postgresql.jar", "42.5.5")
    found = driver_jar(cache=tmp_path / "cache", environ=NOTHING, homes=[home], debian_jar=debian)
    assert found == tmp_path / "cache" / "postgresql-42.5.5.jar"


def test_debians_package_is_unpacked_without_root(tmp_path: Path) -> None:
    contents = jar(tmp_path / "driver.jar", "42.5.5")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text(
        "#!/bin/sh\n"
        # Package lists are missing until the first update.
        f'if [ "$1" = update ]; then : > {tmp_path}/updated; exit 0; fi\n'
        f"[ -e {tmp_path}/updated ] && : > $2_42.5.5_all.deb\n"
    )
    (tools / "dpkg-deb").write_text(
        f"#!/bin/sh\n/bin/mkdir -p $3/usr/share/java && /bin/cp {contents} $3/usr/share/java/postgresql.jar\n"
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    found = driver_jar(
        cache=tmp_path / "cache", environ={"PATH": str(tools)}, homes=[], debian_jar=tmp_path / "not-installed"
    )
    assert found == tmp_path / "cache" / "postgresql-42.5.5.jar"


def test_without_a_driver_the_three_ways_are_named(tmp_path: Path) -> None:
    with pytest.raises(DriverNotFoundError, match=r"POSTGRES_JDBC_JAR.*Maven Central.*libpostgresql-jdbc") as error:
        driver_jar(cache=tmp_path / "cache", environ=NOTHING, homes=[], debian_jar=tmp_path / "none")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_the_version_may_be_that_of_the_bundle(tmp_path: Path) -> None:
    bundle = jar(tmp_path / "bundle.jar", "42.7.13", "Bundle-Version: {}\r\n")
    assert driver_version(bundle) == (42, 7, 13)
    silent = jar(tmp_path / "silent.jar", "", "Created-By: nobody\r\n")
    with pytest.raises(DriverNotFoundError, match=r"silent\.jar has no version in its manifest"):
        driver_version(silent)
