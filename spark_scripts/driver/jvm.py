"""Exceptions of the driver's JVM."""

from __future__ import annotations

from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException

JAVA_ERRORS = (Py4JJavaError, PySparkException)
"""What a call into the JVM raises: PySpark turns some Java exceptions into its own, py4j wraps the others."""

_DEEPEST = 20  # causes to look at, because a chain of causes can be a circle


def java_text(error: BaseException) -> str:
    """Class and message of the Java exception behind one of JAVA_ERRORS."""
    return str(error.java_exception.toString() if isinstance(error, Py4JJavaError) else error)


def sql_state(error: BaseException) -> str:
    """The SQLSTATE of the java.sql.SQLException behind one of JAVA_ERRORS, or among its causes; empty without one."""
    exception: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    for _ in range(_DEEPEST):
        if exception is None:
            break
        try:
            return str(exception.getSQLState() or "")
        except Py4JError:  # it has no such method
            exception = exception.getCause()
    return ""
