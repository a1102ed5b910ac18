"""`python -m tests.validators`: checkov on the template and parliament on each of its policies, as AWS would get them.

Both run from the environment whose `bin` is named by the argument; see the Makefile. Neither asks anything of the
network. Exits with 1 when one of them finds what is not explained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.validators import variants

# What parliament finds and why it stays: resource, issue, action. One that it no longer finds is an error too.
EXPLAINED: Mapping[tuple[str, str, str], str] = {
    ("StateMachineRole", "RESOURCE_MISMATCH", "emr-serverless:CreateApplication"): (
        "the resource is that of AWS's own statement: "
        "https://docs.aws.amazon.com/step-functions/latest/dg/connect-emr-serverless.html"
    ),
    ("DagsterHostPolicy", "RESOURCE_MISMATCH", "states:DescribeExecution"): (
        "parliament wants the executions of express state machines as well; this one is standard"
    ),
    ("NotificationKey", "RESOURCE_STAR", "*"): "in a key's policy the asterisk is the key",
}


@dataclass(frozen=True)
class Outcome:
    """What a validator said: lines to show, and how many findings nobody has explained."""

    lines: tuple[str, ...]
    unexplained: int


def checkov(programs: Path, templates: Mapping[str, Any]) -> Outcome:
    """checkov's verdict on the templates. A skip stands with its reason in the resource's Metadata."""
    with tempfile.TemporaryDirectory() as folder:
        files = [_write(Path(folder) / f"{name}.json", template) for name, template in templates.items()]
        named = [argument for file in files for argument in ("--file", str(file))]
        fixed = ["--framework", "cloudformation", "--skip-download", "--compact", "--output", "json"]
        report = json.loads(_run([str(programs / "checkov"), *fixed, *named]))
    summary, results = report["summary"], report["results"]
    counts = (f"{summary[kind]} {kind}" for kind in ("passed", "failed", "skipped", "parsing_errors"))
    return Outcome(
        (
            f"checkov {summary['checkov_version']} on {', '.join(templates)}: {', '.join(counts)}",
            *sorted({_check_line("skipped", check) for check in results["skipped_checks"]}),
            *sorted({_check_line("FAILED", check) for check in results["failed_checks"]}),
        ),
        summary["failed"] + summary["parsing_errors"] + (0 if summary["passed"] else 1),
    )


def _check_line(verdict: str, check: Mapping[str, Any]) -> str:
    reason = check["check_result"].get("suppress_comment") or check["check_name"]
    return f"  {verdict} {check['check_id']} {check['resource'].rpartition('.')[2]}: {reason}"


def parliament(programs: Path, policies: Mapping[str, Any]) -> Outcome:
    """parliament's verdict on the policies, by name `<variant>/<resource>.<number>`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, policy in policies.items():
            _write(Path(folder) / f"{name.replace('/', '.')}.json", policy)
        arguments = ["--directory", folder, "--include_policy_extension", "json", "--json"]
        found = [json.loads(line) for line in _run([str(programs / "parliament"), *arguments]).splitlines()]
    keys = {key for finding in found for key in _keys(finding)}
    stale = [f"  no longer found: {' '.join(key)}" for key in EXPLAINED.keys() - keys]
    unknown = [f"  FOUND {' '.join(key)}" for key in sorted(keys - EXPLAINED.keys())]
    explained = [f"  explained {' '.join(key)}: {EXPLAINED[key]}" for key in sorted(keys & EXPLAINED.keys())]
    head = f"parliament on {len(policies)} policies: {len(unknown)} findings, {len(explained)} explained"
    return Outcome((head, *explained, *unknown, *stale), len(unknown) + len(stale))


def _keys(finding: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The finding by resource, issue and what it is about."""
    resource = Path(finding["location"]["filepath"]).name.split(".")[1]
    if finding["issue"] == "RESOURCE_STAR":  # it lists every action of the statement
        yield resource, finding["issue"], "*"
        return
    for detail in finding["detail"] if isinstance(finding["detail"], list) else [finding["detail"]]:
        yield resource, finding["issue"], detail["action"] if isinstance(detail, dict) else str(detail)


def _write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def _run(command: list[str]) -> str:
    """What a program writes to standard output. Raises RuntimeError with its messages when it could not do its work."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    """Run both over every variant of the template, and print what they say."""
    programs = Path(sys.argv[1])
    templates = {name: variants.variant(name) for name in variants.VARIANTS}
    policies = {
        f"{name}/{policy}": document
        for name, template in templates.items()
        for policy, document in variants.policies(template, variants.VARIANTS[name]).items()
    }
    outcomes = [checkov(programs, templates), parliament(programs, policies)]
    for outcome in outcomes:
        print("\n".join(outcome.lines))
    sys.exit(1 if any(outcome.unexplained for outcome in outcomes) else 0)


if __name__ == "__main__":
    main()
