"""Finds what would make a deployment or its first execution fail, before anything is changed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from aws_setup.checks import network, runtime, sizes
from aws_setup.checks.findings import Finding, error, warning
from aws_setup.cloudformation import parameters, retained
from aws_setup.commands import secret
from aws_setup.commands.arguments import add_json, add_parameters, given_parameters
from aws_setup.errors import DeployError, UsageError
from aws_setup.job_bundle import jdbc
from ingest_assets.aws.errors import error_code, is_denied
from ingest_assets.aws.stack import Stack, find_stack, stack_name
from ingest_assets.tables import load_tables
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.tables import Table

CHECKS = ("release", "size", "network", "bucket", "secret", "driver", "tables")
"""The checks that `--ignore` can leave out. The caller's identity is always read."""


HELP = "check what a deployment needs, and change nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_parameters(parser, CHECKS)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what the checks found; 1 when there is an error."""
    found = read(Session(), stack_name(), given_parameters(options), jdbc.driver_jar, options.ignore)
    print(found.to_json() if options.json else found.to_text())
    return 1 if found.failed else 0


@dataclass(frozen=True)
class Target:
    """What is to be deployed.

    `parameters` are the effective parameters. `existing` is None before the first deployment. `taken_over` holds the
    retained resources that the deployment imports, by logical id. `driver_jar` finds the JDBC driver.
    """

    stack: str
    parameters: Mapping[str, str]
    existing: Stack | None
    taken_over: Mapping[str, retained.Resource]
    tables: Path | None
    driver_jar: Callable[[], Path]

    @property
    def has_bucket(self) -> bool:
        """Whether the stack already has its bucket, or imports it."""
        return "Bucket" in self.taken_over or self.existing is not None

    @property
    def has_secret(self) -> bool:
        """Whether the stack already has its database secret, or imports it."""
        return "DatabaseSecret" in self.taken_over or self.existing is not None


@dataclass(frozen=True)
class Preflight:
    """The identity of the caller and the findings. `checks` names the checks that ran."""

    stack: str
    identity: str
    checks: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether one of the findings is an error."""
        return any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> str:
        """As a JSON document."""
        return json.dumps(asdict(self), indent=1)

    def to_text(self) -> str:
        """As text for a terminal: a line for each finding, and one for each check without findings."""
        found = {finding.check for finding in self.findings}
        lines = [f"{'identity':<9} ok       {self.identity}"]
        lines += [f"{check:<9} ok" for check in self.checks if check not in found]
        lines += [f"{one.check:<9} {one.level:<8} {one.text}" for one in self.findings]
        return "\n".join(lines)


def check(
    session: Session, target: Target, ignore: Collection[str] = (), checks: Collection[str] = CHECKS
) -> Preflight:
    """Run these checks except those in `ignore`. Raises botocore's errors when AWS rejects the credentials."""
    caller = session.client("sts").get_caller_identity()
    made = tuple(name for name in checks if name not in ignore)
    findings = [finding for name in made for finding in _made(name, session, target)]
    return Preflight(target.stack, caller["Arn"], made, tuple(findings))


def enforce(found: Preflight, report: Callable[[str], None]) -> None:
    """Pass the warnings to `report`. Raises DeployError with a line for each error."""
    for finding in found.findings:
        if finding.level == "warning":
            report(f"warning: {finding.text}")
    errors = [f"{one.text} (--ignore {one.check} deploys anyway)" for one in found.findings if one.level == "error"]
    if errors:
        raise DeployError("\n".join(errors))


def read(
    session: Session, stack: str, given: Mapping[str, str], driver_jar: Callable[[], Path], ignore: Collection[str]
) -> Preflight:
    """The findings for a deployment with the parameters `given`, without deploying, and what the last job ran on.

    Raises UsageError for a wrong parameter.
    """
    parameters.check(given)
    existing = find_stack(session.client("cloudformation"), stack)
    if existing is not None and not existing.made:
        existing = None
    taken_over = retained.find(session, stack, given) if existing is None else {}
    values = parameters.effective({**retained.names(taken_over), **given}, existing.parameters if existing else None)
    target = Target(stack, values, existing, taken_over, None, driver_jar)
    return check(session, target, ignore, (*CHECKS, runtime.CHECK))


def _made(name: str, session: Session, target: Target) -> list[Finding]:
    """The findings of the check with this name. A check that the caller may not make is a warning."""
    try:
        return list(_CHECKS[name](session, target))
    except ClientError as denied:
        if is_denied(denied):
            return [warning(name, f"the {name} was not checked: you are not allowed {denied.operation_name}")]
        reason = denied.response.get("Error", {}).get("Message", "")
        return [warning(name, f"the {name} could not be checked: {denied.operation_name}: {reason}")]
    except BotoCoreError as unreached:
        return [warning(name, f"the {name} could not be checked: {' '.join(str(unreached).split())}")]


def _release(session: Session, target: Target) -> Iterator[Finding]:
    """A warning only: ListReleaseLabels belongs to EMR on EC2 and may lack a label of EMR Serverless."""
    label = target.parameters["ReleaseLabel"]
    try:
        parameters.check({"ReleaseLabel": label})
    except UsageError as refused:  # an older template allowed it
        yield error("release", f"{refused}: give --parameter ReleaseLabel=…")
        return
    if label not in _release_labels(session, label):
        yield warning(
            "release", f"EMR does not list the release {label} in this region: check the parameter ReleaseLabel"
        )


def _release_labels(session: Session, prefix: str) -> list[str]:
    client: Any = session.client("emr")  # no stubs are installed for EMR
    labels: list[str] = client.list_release_labels(Filters={"Prefix": prefix}).get("ReleaseLabels", [])
    return labels


def _size(_: Session, target: Target) -> Iterator[Finding]:
    return sizes.check(target.parameters)


def _network(session: Session, target: Target) -> Iterator[Finding]:
    return network.check(session, target.parameters)


def _bucket(session: Session, target: Target) -> Iterator[Finding]:
    name = target.parameters.get("BucketName")
    if name is None:
        yield error(
            "bucket", "BucketName is missing: give --parameter BucketName=… (bucket names are unique across AWS)"
        )
    elif not target.has_bucket:
        yield from _new_bucket(session, name, target.stack)


def _new_bucket(session: Session, name: str, stack: str) -> Iterator[Finding]:
    try:
        session.client("s3").head_bucket(Bucket=name)
    except ClientError as refused:
        code = error_code(refused)
        if code in ("403", "301"):
            yield error(
                "bucket", f"the bucket {name} belongs to another account or is in another region: choose another name"
            )
        elif code != "404":
            raise
        return
    yield error(
        "bucket",
        f"the bucket {name} exists and does not have this stack's tags: choose another name, or give it the tags"
        f" {retained.marks(stack)}, so that deploy imports it (deploy needs the permission tag:GetResources for that)",
    )


def _secret(session: Session, target: Target) -> Iterator[Finding]:
    return secret.check(session, target.stack, target.parameters, _known_tables(target), known=target.has_secret)


def _known_tables(target: Target) -> list[Table]:
    """The tables to deploy; none where tables.yaml is wrong, which another check reports."""
    try:
        return [table.to_table() for table in load_tables(target.tables)]
    except DataLakeError:
        return []


def _runtime(session: Session, target: Target) -> Iterator[Finding]:
    return runtime.check(session, target.existing)


def _driver(_: Session, target: Target) -> Iterator[Finding]:
    try:
        jar = target.driver_jar()
        version = jdbc.driver_version(jar)
    except jdbc.DriverNotFoundError as missing:
        yield error("driver", str(missing))
        return
    if version < jdbc.OLDEST_SAFE:
        shown, safe = (".".join(map(str, numbers)) for numbers in (version, jdbc.OLDEST_SAFE))
        yield error(
            "driver",
            f"the JDBC driver {jar} has version {shown}, which is older than {safe} (CVE-2025-49146): set"
            " POSTGRES_JDBC_JAR to a newer one",
        )


def _tables(_: Session, target: Target) -> Iterator[Finding]:
    try:
        load_tables(target.tables)
    except DataLakeError as wrong:
        yield error("tables", str(wrong))


_CHECKS: Mapping[str, Callable[[Session, Target], Iterator[Finding]]] = {
    "release": _release,
    "size": _size,
    "network": _network,
    "bucket": _bucket,
    "secret": _secret,
    "driver": _driver,
    "tables": _tables,
    runtime.CHECK: _runtime,
}
