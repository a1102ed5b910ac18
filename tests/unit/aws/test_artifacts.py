from __future__ import annotations

import io
import zipfile
from pathlib import Path

from aws_setup.artifacts import build
from spark_scripts.tables import tables_from_json


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
        assert {"spark_scripts/__init__.py", "spark_scripts/months.py", "spark_scripts/main.py"} <= {
            *archive.namelist()
        }
    assert b"spark_scripts" in built.objects[f"{built.script_prefix}/main.py"]


def test_the_tables_are_uploaded_as_the_job_reads_them(tmp_path: Path) -> None:
    document = build(None, driver(tmp_path)).objects["config/tables.json"].decode()
    assert "mockrecord" in tables_from_json(document)
