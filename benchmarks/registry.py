"""Registered models: MLflow's own server beside Maestro, in turns, with the same models.

REGISTRY=short seeds a tenth as many: under three minutes.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks import registry_seed, report, stock
from benchmarks.databases import database, kinds
from benchmarks.load import Client, Outcome, closed_loop, fetch, open_loop, post, request
from benchmarks.registry_seed import ALIAS, CONTENDED, Model
from benchmarks.seed import seed
from benchmarks.server import Server, maestro
from benchmarks.tracking_seed import choose_project

SHORT = os.environ.get("REGISTRY") == "short"
MODELS = 1_000 if SHORT else 10_000
VERSIONS = 20
MOVERS = 100
ROUNDS = 3
PAGE = 100
RATE, SECONDS = 20.0, 5.0  # of the open loop, Maestro only
API = "/api/2.0/mlflow"
GOAL_P95, GOAL_ALIAS, GOAL_SEARCH = 20, 2, 10


@dataclass
class Side:
    """A server, and who asks it."""

    server: Server
    token: str = ""
    pages: dict[str, str] = field(default_factory=dict)  # address -> that of its second page

    def get(self, path: str) -> bytes:
        return request(f"{API}/{path}", self.token)

    def fetch(self, path: str) -> Any:
        return json.loads(fetch(self.server.port, self.get(path)))

    def second(self, path: str) -> str:
        if path not in self.pages:
            token = self.fetch(path)["next_page_token"]
            self.pages[path] = f"{path}&page_token={quote(token)}"
        return self.pages[path]


Ask = Callable[[Side, Model], bytes]


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    ask: Ask
    times: int = 60  # in each round
    finds: tuple[str, int] | None = None  # what is in the answer, how often


def _one(path: str, **query: str) -> Ask:
    """About a model; `{}` is its newest version."""

    def ask(side: Side, model: Model) -> bytes:
        return side.get(f"{path}?{urlencode({'name': model.name, **query})}")

    return ask


def _latest(side: Side, model: Model) -> bytes:
    path = f"{API}/registered-models/get-latest-versions"
    return post(path, {"name": model.name}, side.token)


def _search(what: str, filter: str = "", *, page: int = 1) -> Ask:
    def ask(side: Side, model: Model) -> bytes:
        words = filter.format(model=model, run=model.runs[0].hex, quality=model.quality(3))
        query = {"max_results": str(PAGE)} | ({"filter": words} if words else {})
        path = f"{what}/search?{urlencode(query)}"
        return side.get(path if page == 1 else side.second(path))

    return ask


_M, _V = "registered_models", "model_versions"
_MODELS, _VERSIONS = "registered-models", "model-versions"
READS = (
    Operation("get model", _one(f"{_MODELS}/get")),
    Operation("get version", _one(f"{_VERSIONS}/get", version=str(VERSIONS))),
    Operation("get by alias", _one(f"{_MODELS}/alias", alias=ALIAS)),
    Operation("latest versions", _latest),
)
SEARCHES = (
    Operation("models", _search(_MODELS), 20, (_M, PAGE)),
    Operation("models, second page", _search(_MODELS, page=2), 20, (_M, PAGE)),
    Operation("models by name", _search(_MODELS, "name LIKE 'model-0{model.n:03}%'"), 20),
    Operation("models by tag", _search(_MODELS, "tags.team = '{model.team}'"), 20),
    Operation("versions", _search(_VERSIONS), 20, (_V, PAGE)),
    Operation("versions, second page", _search(_VERSIONS, page=2), 20, (_V, PAGE)),
    Operation(
        "versions of a model", _search(_VERSIONS, "name = '{model.name}'"), 20, (_V, VERSIONS)
    ),
    Operation("versions by name", _search(_VERSIONS, "name LIKE '%{model.n:03}%'"), 20, (_V, PAGE)),
    Operation("versions by tag", _search(_VERSIONS, "tags.quality = '{quality}'"), 20),
    Operation("versions by run", _search(_VERSIONS, "run_id = '{run}'"), 20, (_V, 1)),
)
OPERATIONS = (*READS, *SEARCHES)


def main() -> None:
    rows: list[tuple[str, ...]] = []
    found: dict[str, Any] = {}
    goals: list[dict[str, Any]] = []
    for kind in kinds():
        found[kind] = measure(kind)
        rows += [tuple(_row(f"{name}, {kind}", one)) for name, one in found[kind]["calls"].items()]
        goals += _goals(kind, found[kind])
    head = ("ms", "stock", "CPU", "Maestro", "CPU", "p95", "times less CPU", "times sooner")
    report.table(f"{MODELS:,} registered models of {VERSIONS} versions", head, rows)
    report.save("registry", {**found, "goals": goals})


def _row(name: str, one: dict[str, dict[str, float]]) -> Iterator[str]:
    yield name
    for who in ("stock", "maestro"):
        yield f"{one[who]['ms']:.1f}" if who in one else ""
        yield f"{one[who]['cpu_ms']:.2f}" if who in one else ""
    yield f"{one['maestro']['p95']:.1f}"
    for what in ("cpu_ms", "ms"):
        yield f"{_ratio(one, what):.0f}" if "stock" in one else ""


def _ratio(one: dict[str, dict[str, float]], what: str) -> float:
    return one["stock"][what] / max(one["maestro"][what], 0.01)


def _goals(kind: str, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    calls = found["calls"]
    for one in READS:
        p95 = calls[one.name]["maestro"]["p95"]
        yield report.verdict(f"{one.name} p95, {kind}", p95, GOAL_P95, "ms")
    alias = calls["get by alias"]["maestro"]["cpu_ms"]
    yield report.verdict(f"alias resolution, server CPU, {kind}", alias, GOAL_ALIAS, "ms")
    for one in SEARCHES:
        if "stock" in calls[one.name]:
            yield report.at_least(
                f"search {one.name}, {kind}",
                _ratio(calls[one.name], "cpu_ms"),
                GOAL_SEARCH,
                "times less CPU",
            )
    wrong = found["moves"]["asked"] - found["moves"]["in_order"]
    yield report.verdict(f"alias moves that history lacks, {kind}", wrong, 0, f"of {MOVERS}")


def measure(kind: str) -> dict[str, Any]:
    with ExitStack() as open_things:
        data = open_things.enter_context(database(kind))
        with maestro(data):
            pass  # the first start makes the schema
        key = asyncio.run(seed(data.url, tenants=1, projects=5, people=2)).keys[0]
        tenant, project = asyncio.run(choose_project(data.url))
        asyncio.run(registry_seed.seed(data.url, tenant, project, _models()))
        sides = {"maestro": Side(open_things.enter_context(maestro(data)), key)}
        if stock.available(kind):
            other = open_things.enter_context(database(kind))
            with stock.stock(other):
                pass
            registry_seed.seed_stock(other, _models())
            sides["stock"] = Side(open_things.enter_context(stock.stock(other)))
        some = [model for n, model in enumerate(_models()) if n % (MODELS // 100) == 3]
        calls = {one.name: _in_turns(one, sides, some) for one in OPERATIONS}
        return {"calls": calls, "moves": _moves(sides["maestro"], data.url)}


def _models() -> Iterator[Model]:
    return registry_seed.models(MODELS, VERSIONS, MOVERS)


def _in_turns(one: Operation, sides: dict[str, Side], some: list[Model]) -> dict[str, Any]:
    found: dict[str, dict[str, list[float]]] = {who: {"ms": [], "cpu_ms": []} for who in sides}
    heads = {who: [one.ask(side, model) for model in some] for who, side in sides.items()}
    for who, side in sides.items():
        _check(one, side, heads[who][0])
    for round in range(ROUNDS + 1):
        for who, side in sides.items():
            before = side.server.family_cpu_seconds()
            sent = heads[who][round * one.times % len(some) :] + heads[who]
            times = _one_by_one(side.server, sent[: one.times])
            cpu = side.server.family_cpu_seconds() - before
            if round:  # the first one warms up
                found[who]["ms"] += times
                found[who]["cpu_ms"].append(cpu * 1000 / one.times)
    spread = {who: {k: median(v) for k, v in kinds_.items()} for who, kinds_ in found.items()}
    asked = open_loop(sides["maestro"].server.port, heads["maestro"], rate=RATE, seconds=SECONDS)
    spread["maestro"]["p95"] = report.spread(_answered(one.name, asked))["p95"]
    return spread


def _check(one: Operation, side: Side, head: bytes) -> None:
    """Who finds less would be sooner."""
    answer = json.loads(fetch(side.server.port, head))
    if one.finds and len(answer.get(one.finds[0], ())) != one.finds[1]:
        raise SystemExit(f"{one.name} found {len(answer.get(one.finds[0], ()))}")


def _one_by_one(server: Server, heads: list[bytes]) -> list[float]:
    rest = iter(heads)
    client = Client(lambda: next(rest), times=len(heads))
    done = closed_loop(server.port, [client], seconds=0)
    if set(done.statuses) != {200}:
        raise SystemExit(f"answered with {done.statuses}")
    return done.milliseconds


def _answered(name: str, outcome: Outcome) -> list[float]:
    if outcome.failures:
        raise SystemExit(
            f"{len(outcome.failures)} requests for {name} failed: {outcome.failures[0]}"
        )
    return outcome.milliseconds


def _moves(side: Side, url: str) -> dict[str, Any]:
    """A hundred move one alias at once, each to a version of its own: each move begins where the
    one before it ended."""

    def mover(number: int) -> Client:
        body = {"name": CONTENDED, "alias": ALIAS, "version": str(number)}
        return Client(lambda: post(f"{API}/registered-models/alias", body, side.token))

    side.fetch(f"registered-models/alias?name={CONTENDED}&alias={ALIAS}")
    before = side.server.cpu_seconds()
    # The last version is where the alias is: going there may be no move.
    done = closed_loop(side.server.port, [mover(n) for n in range(1, MOVERS)], seconds=0)
    cpu = side.server.cpu_seconds() - before
    held = side.fetch(f"registered-models/alias?name={CONTENDED}&alias={ALIAS}")["model_version"]
    history = asyncio.run(registry_seed.moves(url))
    places = [MOVERS, *(one["version"] for one in history)]
    whole = sorted(places) == [*range(1, MOVERS + 1)] and places[-1] == int(held["version"])
    steps = sum(one["before"] == place for one, place in zip(history, places, strict=False))
    return {
        "asked": MOVERS - 1,
        "statuses": dict(done.statuses),
        "in_order": steps if whole else 0,
        "p95": report.spread(done.milliseconds)["p95"],
        "seconds": done.seconds,
        "cpu_ms": cpu * 1000 / (MOVERS - 1),
    }


if __name__ == "__main__":
    main()
