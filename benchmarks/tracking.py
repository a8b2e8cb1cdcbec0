"""MLflow's calls: its own server beside Maestro, in turns, with the same load and one client.

TRACKING=short measures a tenth as much: under five minutes.
"""

import asyncio
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

import mlflow

from benchmarks import report, stock, tracking_load, tracking_seed
from benchmarks.databases import Database, database, kinds
from benchmarks.seed import seed
from benchmarks.server import Server, maestro

SHORT = os.environ.get("TRACKING") == "short"
ROUNDS = 3 if SHORT else 5
RUNS = 2_000 if SHORT else 10_000
MANY_RUNS = 0 if SHORT else 100_000  # Maestro only
POINTS = 10_000 if SHORT else 100_000
LOAD_SECONDS = 5.0 if SHORT else 20.0
NOW = 1_700_000_000_000
GOALS = {  # how many times less CPU than MLflow's own server
    "log-metric": 12,
    "log-metric, mlflow client": 8,
    "create run + 10 params": 15,
    "log-batch, 1,000 metrics": 30,
    "get run": 10,
    "search": 30,
    "history": 100,
}
GOAL_SEARCH = 50


class Caller:
    """One connection that is kept."""

    def __init__(self, server: Server, token: str = "") -> None:
        self.server = server
        self.token = token
        self._http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self._head = {"Content-Type": "application/json"}
        if token:
            self._head["Authorization"] = f"Bearer {token}"
        self.experiment = self("POST", "experiments/create", {"name": "bench"})["experiment_id"]
        self.run = self.new_run()
        self.many = self.experiment  # where there are many runs
        self.n = 0

    def __call__(self, method: str, path: str, message: Any = None) -> Any:
        return json.loads(self.raw(method, path, message))

    def raw(self, method: str, path: str, message: Any = None) -> bytes:
        body = None if message is None else json.dumps(message)
        try:
            self._http.request(method, f"/api/2.0/mlflow/{path}", body, self._head)
            answer = self._http.getresponse()
        except ConnectionError:  # it was idle for so long that the server closed it
            self._http.close()
            self._http.request(method, f"/api/2.0/mlflow/{path}", body, self._head)
            answer = self._http.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}: {data[:500]!r}")
        return data

    def new_run(self) -> str:
        tags = [{"key": "mlflow.user", "value": "ada"}, {"key": "mlflow.source.name", "value": "a"}]
        message = {"experiment_id": self.experiment, "start_time": NOW, "tags": tags}
        return str(self("POST", "runs/create", message)["run"]["info"]["run_id"])


def log_metric(c: Caller) -> None:
    c.n += 1
    point = {"key": "loss", "value": c.n / 7, "timestamp": NOW + c.n, "step": c.n}
    c("POST", "runs/log-metric", {"run_id": c.run, "run_uuid": c.run} | point)


def log_metric_by_client(c: Caller) -> None:
    c.n += 1
    os.environ["MLFLOW_TRACKING_TOKEN"] = c.token
    client = mlflow.MlflowClient(f"http://127.0.0.1:{c.server.port}")
    client.log_metric(c.run, "by client", c.n / 7, timestamp=NOW + c.n, step=c.n)


def create_run(c: Caller) -> None:
    params = [{"key": f"p{n}", "value": str(n)} for n in range(10)]
    c("POST", "runs/log-batch", {"run_id": c.new_run(), "params": params})


def log_batch(c: Caller) -> None:
    c.n += 1
    metrics = [
        {"key": f"m{k}", "value": c.n + step / 7, "timestamp": NOW + c.n, "step": c.n * 100 + step}
        for k in range(10)
        for step in range(100)
    ]
    c("POST", "runs/log-batch", {"run_id": c.run, "metrics": metrics})


def get_run(c: Caller) -> None:
    c.raw("GET", f"runs/get?run_id={c.run}&run_uuid={c.run}")


def wanted(experiment: str) -> dict[str, Any]:
    return {
        "experiment_ids": [experiment],
        "filter": "metrics.acc > 0.5 AND params.model = 'm3'",
        "order_by": ["metrics.acc DESC"],
        "max_results": 50,
    }


def search(c: Caller) -> None:
    if len(c("POST", "runs/search", wanted(c.many))["runs"]) != 50:
        raise SystemExit("a search found too little")


def history(c: Caller) -> None:
    c.raw("GET", f"metrics/get-history?run_id={c.run}&metric_key=long&max_results={POINTS}")


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    times: int  # in each round
    act: Callable[[Caller], None]


OPERATIONS = (
    Operation("log-metric", 100, log_metric),
    Operation("log-metric, mlflow client", 50, log_metric_by_client),
    Operation("create run + 10 params", 50, create_run),
    Operation("log-batch, 1,000 metrics", 20, log_batch),
    Operation("get run", 100, get_run),
    Operation("search", 10, search),
    Operation("history", 3, history),
)


def main() -> None:
    rows: list[tuple[str, ...]] = []
    loads: list[tuple[str, ...]] = []
    found: dict[str, Any] = {}
    goals: list[dict[str, Any]] = []
    for kind in kinds():
        found[kind] = measure(kind)
        for name, one in found[kind]["calls"].items():
            rows.append(tuple(_row(f"{name}, {kind}", one)))
            if "stock" in one:
                ratio = one["stock"]["cpu_ms"] / max(one["maestro"]["cpu_ms"], 0.01)
                unit = "times less CPU"
                goals.append(report.at_least(f"{name}, {kind}", ratio, GOALS[name], unit))
        loads += [
            tracking_load.row(f"{who}, {kind}", one) for who, one in found[kind]["load"].items()
        ]
        goals += tracking_load.goals(kind, found[kind]["load"]["maestro"])
        if "search_many_p95" in found[kind]:
            name = f"search p95, {MANY_RUNS:,} runs, {kind}"
            goals.append(report.verdict(name, found[kind]["search_many_p95"], GOAL_SEARCH, "ms"))
    head = ("ms", "stock", "CPU", "Maestro", "CPU", "times less CPU")
    report.table(f"MLflow's calls, {RUNS:,} runs, {POINTS:,} points", head, rows)
    report.table(
        f"{tracking_load.CLIENTS} clients that want to log {tracking_load.GOAL_RATE} metrics/s",
        ("", "served/s", "p95 ms", "search p95 ms"),
        loads,
    )
    report.save("tracking", {**found, "goals": goals})


def _row(name: str, one: dict[str, dict[str, float]]) -> Iterator[str]:
    yield name
    for who in ("stock", "maestro"):
        yield f"{one[who]['ms']:.1f}" if who in one else ""
        yield f"{one[who]['cpu_ms']:.2f}" if who in one else ""
    both = "stock" in one
    yield f"{one['stock']['cpu_ms'] / max(one['maestro']['cpu_ms'], 0.01):.0f}" if both else ""


def measure(kind: str) -> dict[str, Any]:
    with ExitStack() as open_things:
        data = open_things.enter_context(database(kind))
        with maestro(data):
            pass  # the first start makes the schema
        key = asyncio.run(seed(data.url, tenants=1, projects=5, people=2)).keys[0]
        tenant, project = asyncio.run(tracking_seed.choose_project(data.url))
        callers = {"maestro": Caller(open_things.enter_context(maestro(data)), key)}
        if stock.available(kind):
            other = open_things.enter_context(database(kind))
            callers["stock"] = Caller(open_things.enter_context(stock.stock(other)))
            if not stock.seed_runs(other, callers["stock"].experiment, RUNS):
                callers["stock"].many = ""
        seeded = tracking_seed.seed_runs(data.url, tenant, project, "many", RUNS)
        callers["maestro"].many = asyncio.run(seeded)
        done: dict[str, Any] = {
            "seconds_to_first_answer": {
                w: c.server.seconds_to_first_answer for w, c in callers.items()
            },
            "resident_mb": {who: c.server.resident_mb() for who, c in callers.items()},
            "bytes_per_point": _long_metrics(callers, data),
            "calls": {one.name: _in_turns(one, callers) for one in OPERATIONS},
            "load": {who: _under_load(caller) for who, caller in callers.items()},
        }
        if MANY_RUNS:
            seeded = tracking_seed.seed_runs(data.url, tenant, project, "very many", MANY_RUNS)
            callers["maestro"].many = asyncio.run(seeded)
            done["search_many_p95"] = report.spread(_times(search, callers["maestro"], 40))["p95"]
        return done


def _under_load(c: Caller) -> dict[str, Any]:
    looked_for = wanted(c.many or c.experiment)
    return tracking_load.measure(c.server.port, c.token, c.new_run, looked_for, LOAD_SECONDS)


def _in_turns(one: Operation, callers: dict[str, Caller]) -> dict[str, Any]:
    callers = {who: c for who, c in callers.items() if c.many or one.act is not search}
    took: dict[str, list[float]] = {who: [] for who in callers}
    used: dict[str, list[float]] = {who: [] for who in callers}
    for round in range(ROUNDS + 1):
        for who, caller in callers.items():
            before = caller.server.family_cpu_seconds()
            times = _times(one.act, caller, one.times)
            if round:  # the first one warms up
                cpu = caller.server.family_cpu_seconds() - before
                took[who] += times
                used[who].append(cpu * 1000 / one.times)
    return {who: {"ms": median(took[who]), "cpu_ms": median(used[who])} for who in callers}


def _times(act: Callable[[Caller], None], caller: Caller, times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act(caller)
        took.append((time.perf_counter() - began) * 1000)
    return took


def _long_metrics(callers: dict[str, Caller], data: Database) -> float | None:
    """Gives each a long metric; tells what a point of it takes in Maestro's SQLite file."""
    before = _size(data)
    for caller in callers.values():
        for start in range(0, POINTS, 1000):
            points = [
                {"key": "long", "value": n / 7, "timestamp": NOW + n * 1000, "step": n}
                for n in range(start, start + 1000)
            ]
            caller("POST", "runs/log-batch", {"run_id": caller.run, "metrics": points})
    after = _size(data)
    return None if before is None or after is None else (after - before) / POINTS


def _size(data: Database) -> int | None:
    file = data.folder / "bench.db"
    return file.stat().st_size if data.kind == "sqlite" else None


if __name__ == "__main__":
    main()
