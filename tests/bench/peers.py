"""The peers, each with the settings that its documentation calls fastest. They run on an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import output
from tests.bench.changes import Wrong
from tests.bench.contestants import Contestant
from tests.bench.dataset import CURSOR, DATE_COLUMN, KEY, Dataset
from tests.bench.measure import Command

PACKAGES = (
    *("dlt", "connectorx", "duckdb", "duckdb-cli", "duckdb-extension-postgres-scanner", "pyarrow"),
    "sling-linux-amd64",
)
_HERE = Path(__file__).parent
_VERSIONS = (
    "import json, sys; from importlib.metadata import version; print(json.dumps({n: version(n) for n in sys.argv[1:]}))"
)
_PARQUET_ROWS = (
    "import sys; from pyarrow.parquet import ParquetFile as File;"
    " print(sum(File(name).metadata.num_rows for name in sys.argv[1:]))"
)


@dataclass(frozen=True)
class Peers:
    """The peers of the environment `venv`, which read the database `dsn` and write below `target`."""

    venv: Path
    target: Path
    dsn: str = field(repr=False)

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """What is installed of PACKAGES."""
        found: dict[str, str] = json.loads(self._ask(_VERSIONS, *PACKAGES))
        return found

    def duckdb(self, dataset: Dataset) -> Contestant:
        """DuckDB reads by ctid ranges on all cores by itself; without the order of rows it writes on all cores too."""

        def prepare(folder: Path) -> Command:
            arguments: list[str | Path] = [
                self.python,
                _HERE / "peer_duckdb.py",
                dataset.relation,
                DATE_COLUMN,
                self.target,
            ]
            return Command(arguments, self._environment(folder), folder)

        settings = "postgres_scanner, COPY to CSV with PARTITION_BY (year, month), preserve_insertion_order = false"
        return Contestant("duckdb", "DuckDB", dataset, prepare, self._csv_records, settings, self.target)

    def sling(self, dataset: Dataset) -> Contestant:
        """Sling to one CSV file: reading in parallel chunks is not in its free edition."""

        def prepare(folder: Path) -> Command:
            return self._sling(dataset, folder, ["--tgt-object", f"file://{self.target}/{dataset.name}.csv"])

        settings = "sling run, one CSV file, its defaults (parallel chunks need its paid edition)"
        return Contestant("sling", "Sling", dataset, prepare, self._csv_records, settings, self.target)

    def dlt_csv(self, dataset: Dataset) -> Contestant:
        """dlt to CSV: its pyarrow backend, because its CSV writer refuses the arrays that connectorx gives."""
        settings = (
            "pyarrow backend, chunks of 100,000 rows, CSV, compression off (its writer refuses connectorx's arrays)"
        )
        return self._dlt("dlt", "dlt to CSV", dataset, ("pyarrow", "csv"), settings)

    def dlt_parquet(self, dataset: Dataset) -> Contestant:
        """dlt at its fastest: connectorx streams Arrow, which goes into Parquet as it is. Another product than CSV."""
        settings = "connectorx backend, Arrow stream of 100,000 rows, Parquet"
        return self._dlt("dlt-parquet", "dlt to Parquet", dataset, ("connectorx", "parquet"), settings)

    def _dlt(self, key: str, label: str, dataset: Dataset, how: tuple[str, str], settings: str) -> Contestant:
        def prepare(folder: Path) -> Command:
            arguments: list[str | Path] = [self.python, _HERE / "peer_dlt.py", dataset.relation, str(self.target), *how]
            own = {"NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true"}
            return Command(arguments, {**self._dlt_environment(folder, folder / "dlt"), **own}, folder)

        def delivered(folder: Path) -> int:
            if how[1] == "csv":
                return self._csv_records(folder)
            return int(self._ask(_PARQUET_ROWS, *map(str, self.target.glob(f"bench/{dataset.name}/*.parquet"))))

        return Contestant(key, label, dataset, prepare, delivered, settings, self.target)

    def dlt_incremental(self, dataset: Dataset, folder: Path) -> Command:
        """dlt into a DuckDB file, the rows with a newer CURSOR; its state is in `target` too."""
        arguments: list[str | Path] = [self.python, _HERE / "peer_dlt_incremental.py", dataset.relation, CURSOR, KEY]
        return Command([*arguments, self._duckdb], self._dlt_environment(folder, self.target / "dlt"), folder)

    def sling_incremental(self, dataset: Dataset, folder: Path) -> Command:
        """Sling into a DuckDB file, the rows with a newer CURSOR. DuckDB's program and extensions are the bench's."""
        extensions = folder / ".duckdb" / "extensions" / f"v{self.versions()['duckdb-cli']}" / "linux_amd64"
        extensions.mkdir(parents=True, exist_ok=True)
        for file in self.venv.glob("lib/*/site-packages/duckdb_extension_*/extensions/*/*.duckdb_extension"):
            (extensions / file.name).unlink(missing_ok=True)
            (extensions / file.name).symlink_to(file)
        target = ["--tgt-conn", "TARGET", "--tgt-object", f"bench.{dataset.name}"]
        mode = ["--mode", "incremental", "--primary-key", KEY, "--update-key", CURSOR]
        [program] = self.venv.glob("lib/*/site-packages/duckdb_cli/duckdb")
        own = {"TARGET": f"duckdb://{self._duckdb}", "DUCKDB_PATH": str(program)}
        return self._sling(dataset, folder, [*target, *mode], **own)

    def compared(self, dataset: Dataset, files: Sequence[str]) -> Wrong:
        """What of the CSV files of the raw layer differs from the table."""
        return Wrong.from_json(self._compare(dataset, "-", "\n".join(files)))

    def compared_duckdb(self, dataset: Dataset) -> Wrong:
        """What of the DuckDB file that an incremental load wrote differs from the table."""
        return Wrong.from_json(self._compare(dataset, f"{self._duckdb}:bench.{dataset.name}"))

    @property
    def _duckdb(self) -> Path:
        return self.target / "copy.duckdb"  # a name of its own: DuckDB confuses a file and a schema of one name

    def _compare(self, dataset: Dataset, target: str, standard_input: str = "") -> str:
        command: list[str | Path] = [self.python, _HERE / "peer_compare.py", dataset.relation, target]
        environment = {**os.environ, "PGDSN": self.dsn}
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, input=standard_input, env=environment
        )
        return done.stdout

    def _sling(self, dataset: Dataset, folder: Path, target: Sequence[str], **environment: str) -> Command:
        [program] = self.venv.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
        source = ["--src-conn", "SOURCE", "--src-stream", dataset.relation]
        own = {"SOURCE": f"{self.dsn}?sslmode=disable", "SLING_HOME_DIR": str(folder)}
        every = {**self._environment(folder), **own, "SLING_DISABLE_TELEMETRY": "true", **environment}
        return Command([program, "run", *source, *target], every, folder)

    def _dlt_environment(self, folder: Path, data: Path) -> Mapping[str, str]:
        own = {"DLT_DATA_DIR": str(data), "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
        return {**self._environment(folder), **own}

    def _csv_records(self, _: Path) -> int:
        return output.csv_records(self.target.rglob("*.csv"))

    def _environment(self, folder: Path) -> Mapping[str, str]:
        return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder), "PGDSN": self.dsn}

    def _ask(self, script: str, *arguments: str) -> str:
        command: list[str | Path] = [self.python, "-c", script, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
