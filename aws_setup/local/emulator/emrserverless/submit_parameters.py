"""Parses and checks the sparkSubmitParameters of a job run, and maps their files to this machine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# Options of spark-submit that take no value.
_FLAGS = frozenset({"--verbose", "-v", "--supervise", "--help", "-h", "--version", "--usage-error"})
_CONF_OPTIONS = frozenset({"--conf", "-c"})
# Options and properties whose value is a comma-separated list of files.
_FILE_OPTIONS = frozenset({"--jars", "--py-files", "--files", "--archives", "--properties-file"})
_FILE_PROPERTIES = frozenset({"spark.jars", "spark.submit.pyFiles", "spark.files", "spark.archives"})
_SHORTCUTS = {
    "--driver-cores": "spark.driver.cores",
    "--driver-memory": "spark.driver.memory",
    "--executor-cores": "spark.executor.cores",
    "--executor-memory": "spark.executor.memory",
    "--num-executors": "spark.executor.instances",
    "--name": "spark.app.name",
    "--master": "spark.master",
    "--deploy-mode": "spark.submit.deployMode",
}
_DRIVER_ENVIRONMENT = "spark.emr-serverless.driverEnv."
_UNSUPPORTED = ("spark.master", "spark.submit.deployMode")


@dataclass(frozen=True)
class SubmitOption:
    """An option of spark-submit. `value` is None for a flag."""

    name: str
    value: str | None = None

    @property
    def property(self) -> tuple[str, str] | None:
        """The Spark property and value that this option sets, None if it sets none."""
        if self.value is None:
            return None
        if self.name in _CONF_OPTIONS:
            key, _, value = self.value.partition("=")
            return key.strip(), value
        return (_SHORTCUTS[self.name], self.value) if self.name in _SHORTCUTS else None


def parse(parameters: str) -> list[SubmitOption]:
    """The options in `parameters`, split as a shell would.

    Raises ValueError when a quote is not closed, an option lacks its value, or a word is not an option.
    """
    words = iter(shlex.split(parameters))
    return [_option(word, words) for word in words]


def _option(word: str, rest: Iterator[str]) -> SubmitOption:
    if not word.startswith("-"):
        raise ValueError(f"unexpected argument {word!r}")
    if word in _FLAGS:
        return SubmitOption(word)
    name, equals, value = word.partition("=")
    if equals and word.startswith("--"):
        return SubmitOption(name, value)
    try:
        return SubmitOption(word, next(rest))
    except StopIteration:
        raise ValueError(f"missing argument for option {word!r}") from None


def properties(options: list[SubmitOption], defaults: Mapping[str, str] | None = None) -> dict[str, str]:
    """The Spark properties that the options set, over `defaults`."""
    found = dict(defaults or {})
    for option in options:
        if option.property is not None:
            key, value = option.property
            found[key] = value
    return found


def unsupported_property(conf: Mapping[str, str]) -> str | None:
    """The first property in `conf` that EMR Serverless refuses because it sets it itself."""
    return next((name for name in _UNSUPPORTED if name in conf), None)


def driver_environment(conf: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that the job sets for its driver."""
    return {
        name.removeprefix(_DRIVER_ENVIRONMENT): value
        for name, value in conf.items()
        if name.startswith(_DRIVER_ENVIRONMENT)
    }


def command_line(options: list[SubmitOption], locate: Callable[[str], str]) -> list[str]:
    """The options as arguments, with each file replaced by the result of `locate`."""
    arguments: list[str] = []
    for option in options:
        arguments.append(option.name)
        if option.value is not None:
            arguments.append(_located(option, locate))
    return arguments


def _located(option: SubmitOption, locate: Callable[[str], str]) -> str:
    value = option.value or ""
    if option.name in _FILE_OPTIONS:
        return ",".join(locate(path) for path in value.split(","))
    if option.name in _CONF_OPTIONS:
        key, _, files = value.partition("=")
        if key.strip() in _FILE_PROPERTIES:
            return f"{key}={','.join(locate(path) for path in files.split(','))}"
    return value
