from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aws_setup.job_bundle.artifacts import build, prune
from spark_scripts.contract.tables import tables_from_json
from tests.unit.aws_setup.fakes import FakeSession


def driver(folder: Path, content: bytes = b"a driver") -> Path:
    jar = folder / "postgresql-42.7.13.jar"
    jar.write_bytes(content)
    return jar


def test_the_same_checkout_gives_the_same_bytes_under_the_same_keys(tmp_path: Path) -> None:
    assert build(None, driver(tmp_path)) == build(None, driver(tmp_path))


def test_another_driver_has_another_key(tmp_path: Path) -> None:
    first, second = build(None, driver(tmp_path)), build(None, driver(tmp_path, b"another"))
    assert first.driver_key != second.driver_key
    assert first.script_prefix == second.script_prefix
    assert first.driver_key.endswith("/postgresql-42.7.13.jar")


def test_the_archive_holds_the_package_as_it_is_imported(tmp_path: Path) -> None:
    built = build(None, driver(tmp_path))
    with zipfile.ZipFile(io.BytesIO(built.objects[f"{built.script_prefix}/spark_scripts.zip"])) as archive:
        assert {"spark_scripts/__init__.py", "spark_scripts/contract/months.py", "spark_scripts/main.py"} <= {
            *archive.namelist()
        }
    assert b"spark_scripts" in built.objects[f"{built.script_prefix}/main.py"]


def test_the_tables_are_uploaded_as_the_job_reads_them(tmp_path: Path) -> None:
    document = build(None, driver(tmp_path)).objects["config/tables.json"].decode()
    assert "mockrecord" in tables_from_json(document)


def listed(*entries: tuple[str, timedelta]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"Contents": [{"Key": key, "LastModified": now - age} for key, age in entries]}


def test_code_and_drivers_that_nothing_uses_are_deleted_when_they_are_a_day_old() -> None:
    session, week, hour = FakeSession(), timedelta(days=7), timedelta(hours=1)
    s3 = session.script("s3")
    scripts = listed(("script/now/main.py", week), ("script/old/main.py", week), ("script/other/main.py", hour))
    s3.add_response("list_objects_v2", scripts, {"Bucket": "lake", "Prefix": "script/"})
    drivers = listed(("jar/before/x.jar", week), ("jar/old/x.jar", week))
    s3.add_response("list_objects_v2", drivers, {"Bucket": "lake", "Prefix": "jar/"})
    deleted = {"Objects": [{"Key": "script/old/main.py"}, {"Key": "jar/old/x.jar"}], "Quiet": True}
    s3.add_response("delete_objects", {}, {"Bucket": "lake", "Delete": deleted})
    lines: list[str] = []
    prune(session.client("s3"), "lake", ["script/now/", "jar/before/x.jar"], lines.append)
    session.assert_all_called()
    assert lines == ["deleted the old s3://lake/script/old/main.py", "deleted the old s3://lake/jar/old/x.jar"]
