"""The page that the figures make: docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from ingest_assets.aws.cost import LIST_PRICES, Usage
from tests.bench.changes import DESCRIPTION
from tests.bench.many_runs import WAYS, ManyRuns
from tests.bench.many_tables import MONTHS_OF_A_TABLE, ROWS_OF_A_TABLE, TABLES
from tests.bench.results import MIB, Results

_HEAD = """\
# Benchmarks

Written by `make bench`, which needs Linux on x86-64 and 25 GB of disk. `make bench ROWS=200000 ROUNDS=1` is a quick
look, `make bench ONLY=full,copy` runs some contestants alone, by the names in the tables; only a complete run
is written here. The tables are built once and kept in `.local/bench`. Every run is a whole process from start to end;
the contestants take turns, with a rest between them; medians count. The table (`tests/bench/dataset.sql`) has no index
on its date, and its rows lie in the order in which they came. What a contestant delivered is counted after each run;
one that delivered less, or more, failed.
"""

_UNITS = """\
Memory is the peak of the summed resident sets of a contestant's processes, looked at every 50 ms; PostgreSQL's is not
in it. CPU is the ratio of the CPU seconds of contestant and server together: where other programs run at the same time,
it says more than the seconds. Blocks are those of the table, its index and its TOAST table, from cache or disk.
"""

_CHANGE = textwrap.fill(
    f"{DESCRIPTION} Each contestant has the whole table before; then the change is made, and the next run is measured."
    " Afterwards all rows are compared with the database, by key, date and the columns that were updated.",
    width=120,
)

_INGESTR = """\
ingestr 1.1 is not among them: its package on PyPI is a launcher, which fetches the program from GitHub's releases when
it first runs, and this benchmark runs only what the package registries have. It merges by the same kind of cursor.
"""

_MANY = f"""\
{TABLES} tables with {MONTHS_OF_A_TABLE} months and {ROWS_OF_A_TABLE:,} rows each, ingested in full by one execution:
seconds and CPU seconds of the whole process for each table.
"""

_TICKS_OF = {
    "ingests the newest 11 months again, as it did before there were refreshes": "trailing",
    "looks at all 24 months and ingests the one that has changed": "refresh-one",
    "looks at all 24 months, and none has changed": "refresh-none",
}
_TICKS, _ALIKE, _VCPU, _GB = 2, 100, 2, 7
_COST = f"""\
{_ALIKE} tables like the one above and {_TICKS} ticks a month, at the list prices of EMR Serverless, on one worker with
{_VCPU} vCPU and {_GB} GB. Seconds are the CPU seconds of job and server on {_VCPU} cores. Those of the job's start are
left out: what a job takes that finds nothing changed.
"""

_RATIOS: tuple[tuple[str, str, str, float | None, float | None], ...] = (
    ("full ingest vs the seed's approach (whole process)", "full", "seed", 0.28, 0.18),
    ("one month of 24 vs the seed's approach", "month", "seed", 0.13, 0.09),
    ("full ingest vs Sling", "full", "sling", 0.42, 0.28),
    ("full ingest vs dlt, to CSV", "full", "dlt", 0.14, 0.09),
    ("full ingest vs dlt, to Parquet (another product)", "full", "dlt-parquet", None, None),
    ("full ingest vs `psql COPY` to a pipe", "full", "copy", 4.5, 3.0),
    ("full ingest vs DuckDB", "full", "duckdb", 4.5, 3.0),
    ("full ingest vs `psql COPY`, four times the rows", "full-4x", "copy-4x", 4.0, 2.5),
    ("24-month backfill in one execution vs full ingest", "backfill", "full", 1.25, 1.1),
    ("four times the rows vs once, full ingest", "full-4x", "full", 4.2, 3.8),
    ("the rows vs a quarter of them, full ingest", "full", "full-quarter", None, None),
    ("full ingest, rows in random order vs in order of time", "shuffled", "full", None, None),
    ("full ingest with `verify: content` vs without", "verified", "full", None, None),
    ("refresh with nothing changed vs full ingest", "refresh-none", "full", None, 0.45),
    ("the count of that refresh vs full ingest", "count-ids", "full", None, 0.13),
    ("refresh with one month of 24 changed vs that month by its name", "refresh-one", "month-changed", None, 1.2),
    ("refresh with one month of 24 changed vs its newest 11 months by name", "refresh-one", "trailing", None, None),
    ("refresh with one month of 24 changed vs dlt incremental", "refresh-one", "dlt-incremental", None, None),
    ("refresh with one month of 24 changed vs Sling incremental", "refresh-one", "sling-incremental", None, None),
    ("count with transaction ids vs without", "count-ids", "count", None, 1.7),
    ("count with transaction ids vs without, one process each", "count-ids-serial", "count-serial", None, 1.7),
)
_BLOCKS: tuple[tuple[str, str, float | None, float | None], ...] = (
    ("blocks read from the source, full ingest (times the table)", "full", 2.1, 1.1),
    ("blocks read from the source, the seed's approach (times the table)", "seed", None, None),
)


def page(results: Results, many: ManyRuns, versions: Mapping[str, str], rounds: int) -> str:
    """The whole page."""
    parts = [_HEAD, _machine(rounds), ratios(results), *_rows_wrong(results), *_many_tables(many)]
    parts += _schedule_cost(results)
    parts += ["## Medians", medians(results), "## Settings and versions"]
    settings = [f"- {entrant.label}: {entrant.settings}" for entrant in results.entrants.values()]
    parts.append("\n".join([*settings, "- " + ", ".join(f"{name} {version}" for name, version in versions.items())]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def ratios(results: Results) -> str:
    """The ratios that are asked for, of those that were measured."""
    rows = [
        (text, _figure(required), _figure(aim), _figure(ratio), _figure(results.cpu_ratio(key, base)))
        for text, key, base, required, aim in _RATIOS
        if (ratio := results.ratio(key, base)) is not None
    ]
    rows += [
        (text, _figure(required), _figure(aim), _figure(blocks), "-")
        for text, key, required, aim in _BLOCKS
        if (blocks := results.blocks(key)) is not None
    ]
    if "full-4x" in results.runs:
        entrant = results.entrants["full-4x"]
        outcome = _line(results.problem("full-4x") or entrant.settings)
        rows.append((f"heap for {entrant.dataset.rows:,} rows", "1 GiB", "1 GiB", outcome, "-"))
    return _table(("ratio of median wall times unless said", "required", "aim", "measured", "CPU"), rows)


def _rows_wrong(results: Results) -> list[str]:
    """What is wrong after a load of what changed, for those who were compared with the database."""
    rows = [
        (results.entrants[key].label, _figure(results.seconds(key)), str(runs[-1].wrong))
        for key in results.runs
        if (runs := results.whole(key)) and runs[-1].wrong is not None
    ]
    if not rows:
        return []
    return ["## Rows wrong after a change", _CHANGE, _table(("contestant", "seconds", "rows wrong"), rows), _INGESTR]


def _many_tables(many: ManyRuns) -> list[str]:
    """What a small table takes among many."""
    if not many.runs and not many.problems:
        return []
    rows = [
        (f"{text} (`{key}`)", *_many_row(many, key), _figure(aim))
        for key, (text, _, _, aim) in WAYS.items()
        if many.has(key)
    ]
    head = ("", "seconds per table (of all runs)", "without the start", "CPU s", "requests to S3 per table", "aim")
    return ["## Many small tables", _MANY, _table(head, rows)]


def _schedule_cost(results: Results) -> list[str]:
    """What the schedule's ticks of a month cost, by the CPU seconds of a table without the start of the job."""
    start = results.median("refresh-none", lambda run: run.usage.cpu)
    rows = []
    for text, key in _TICKS_OF.items():
        cpu = results.median(key, lambda run: run.usage.cpu + run.load.cpu)
        if start is not None and cpu is not None:
            seconds = (cpu - start) / _VCPU
            hours = _ALIKE * seconds * _TICKS / 3600
            usd = Usage(_VCPU * hours, _GB * hours).usd(LIST_PRICES)
            rows.append((text, _figure(seconds), _figure(hours * 60), f"${usd:.3f}"))
    head = ("a tick", "seconds for a table", f"minutes a month, {_ALIKE} tables", "US dollars a month")
    return ["## What a month of the schedule's ticks costs", _COST, _table(head, rows)] if rows else []


def _many_row(many: ManyRuns, key: str) -> tuple[str, str, str, str]:
    if key in many.problems:
        return _line(many.problems[key]), "-", "-", "-"
    seconds = sorted(run.seconds for run in many.runs[key])
    requests = many.median(key, lambda run: sum(run.requests.values()) / TABLES)
    return (
        f"{_figure(many.median(key, lambda run: run.seconds))} ({', '.join(map(_figure, seconds))})",
        _figure(many.median(key, lambda run: run.seconds_of_the_work)),
        _figure(many.median(key, lambda run: run.cpu / TABLES)),
        _figure(requests or None),
    )


def medians(results: Results) -> str:
    """What each contestant took."""
    head = (
        *("contestant", "rows", "seconds (of all runs)", "memory peak MiB", "CPU s", "server CPU s"),
        *("blocks read, times the table", "bytes read per byte delivered", "delivered MB"),
    )
    return _table(head, [_median_row(results, key) for key in results.runs])


def _median_row(results: Results, key: str) -> tuple[str, ...]:
    entrant, runs = results.entrants[key], results.whole(key)
    expected, facts = entrant.expected, results.facts[entrant.dataset]
    rows = f"{expected if isinstance(expected, int) else getattr(facts, _ROWS[expected]):,}"
    name = f"{entrant.label} (`{key}`)"
    if problem := results.problem(key):
        return name, rows, _line(f"failed: {problem}"), *("-" for _ in range(6))
    seconds = sorted(run.usage.seconds for run in runs)
    return (
        name,
        rows,
        f"{_figure(results.seconds(key))} ({', '.join(map(_figure, seconds))})",
        _figure(results.median(key, lambda run: run.usage.memory / MIB)),
        _figure(results.median(key, lambda run: run.usage.cpu)),
        _figure(results.median(key, lambda run: run.load.cpu)),
        _figure(results.blocks(key)),
        _figure(results.read_per_byte(key)),
        _figure(results.median(key, lambda run: run.size / 1e6) if entrant.whole else None),
    )


_ROWS = {"rows": "rows", "month_rows": "month_rows", "trailing_rows": "trailing_rows", "csv_bytes": "rows"}
"""How many rows a contestant delivers, by what it is checked for."""


def _machine(rounds: int) -> str:
    memory = psutil.virtual_memory().total / (1 << 30)
    machine = f"{os.cpu_count()} cores ({_cpu()}), {memory:.0f} GiB of memory, {platform.system()} {platform.release()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, medians of {rounds}: {machine}.\n\n{_UNITS}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
