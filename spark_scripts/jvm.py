"""Exceptions of the driver's JVM."""

from __future__ import annotations

from typing import Optional

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

JAVA_ERRORS = (Py4JJavaError, PySparkException)
"""What a call into the JVM raises: PySpark turns some Java exceptions into its own, py4j wraps the others."""


def java_text(error: BaseException) -> str:
    """Class and message of the Java exception behind one of JAVA_ERRORS."""
    return str(error.java_exception.toString() if isinstance(error, Py4JJavaError) else error)


def sql_state(error: BaseException) -> Optional[str]:
    """The SQLSTATE of the java.sql.SQLException behind one of JAVA_ERRORS, if it is one."""
    exception = error.java_exception if isinstance(error, Py4JJavaError) else None
    if exception is None or not hasattr(exception, "getSQLState"):
        return None
    return str(exception.getSQLState() or "")
