"""MLflow's own server, as this environment has it, with two workers."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.databases import Database
from benchmarks.server import Server, free_port
from benchmarks.tracking_seed import METRICS, MODELS

# Of an environment that has the whole of MLflow, which this one has not.
MLFLOW = Path(os.environ.get("TRACKING_MLFLOW", Path(sys.executable).with_name("mlflow")))


def available(kind: str) -> bool:
    """Whether it can be started here; what cannot is said."""
    needed = "mlflow, aiohttp" if kind == "sqlite" else "mlflow, aiohttp, psycopg2"
    command = [str(MLFLOW.with_name("python")), "-c", f"import {needed}"]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return True
    print(f"\nnot run: MLflow's own server on {kind}, since {MLFLOW} lacks one of {needed}")
    return False


@contextmanager
def stock(database: Database) -> Iterator[Server]:
    port = free_port()
    command = [str(MLFLOW), "server"]
    command += ["--backend-store-uri", _url(database), "--workers", "2", "--port", str(port)]
    command += ["--default-artifact-root", str(database.folder / "files")]
    more = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = Server(command, database.folder / "stock.log", os.environ | more, port)
    try:
        yield server
    finally:
        server.stop()


def seed_runs(database: Database, experiment: str, runs: int) -> bool:
    """The same runs as Maestro is given. On SQLite only: through the server it would take hours."""
    if database.kind != "sqlite":
        return False
    dice = random.Random(runs)
    with sqlite3.connect(file(database), timeout=30) as connection:
        for n in range(runs):
            id, at = f"{dice.getrandbits(128):032x}", 1_700_000_000_000 + n
            run = {
                **{"run_uuid": id, "name": f"run-{n}", "source_type": "UNKNOWN", "user_id": "ada"},
                **{"status": "FINISHED", "start_time": at, "end_time": at, "deleted_time": None},
                **{"lifecycle_stage": "active", "experiment_id": experiment, "artifact_uri": ""},
            }
            _insert(connection, "runs", run)
            params = {"model": f"m{dice.randrange(MODELS)}", "lr": f"{dice.random():.4f}"}
            for key, value in (params | {"depth": str(n % 7)}).items():
                _insert(connection, "params", {"run_uuid": id, "key": key, "value": value})
            for key, value in {"mlflow.runName": f"run-{n}", "mlflow.user": "ada"}.items():
                _insert(connection, "tags", {"run_uuid": id, "key": key, "value": value})
            for key in METRICS:
                metric = {"run_uuid": id, "key": key, "value": dice.random(), "timestamp": at}
                _insert(connection, "latest_metrics", metric | {"step": 1, "is_nan": False})
    return True


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])


def _url(database: Database) -> str:
    if database.kind == "sqlite":
        return f"sqlite:///{file(database)}"
    url = make_url(database.url).set(drivername="postgresql+psycopg2")
    return url.render_as_string(hide_password=False)


def file(database: Database) -> Path:
    return database.folder / "stock.db"
