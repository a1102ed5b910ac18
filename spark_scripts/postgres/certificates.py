"""Giving the root certificates to the driver and to every executor.

pgjdbc reads root certificates from a file. The file has a relative name: Spark puts the files that it distributes into
an executor's working directory (SparkFiles), and the driver writes its own copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.tls import SYSTEM, file_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def shared(spark: SparkSession, root_certificates: str) -> Iterator[None]:
    """Give the certificates to the driver's JVM and to every executor, also to executors that start later.

    The driver's file is removed at the end. Raises InvalidInputError when it cannot be written.
    """
    if root_certificates in ("", SYSTEM):
        yield
        return
    jvm: Any = spark._jvm
    file = Path(jvm.java.lang.System.getProperty("user.dir")) / file_name(root_certificates)
    try:
        file.write_text(root_certificates, encoding="ascii")
    except OSError as error:
        raise InvalidInputError(f"the certificates cannot be written to {file}: {error.strerror}") from error
    try:
        spark.sparkContext.addFile(str(file))
        yield
    finally:
        file.unlink()
