"""Fifty clients log ten metrics a second each while two look for runs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from benchmarks import report
from benchmarks.load import Answered, Client, closed_loop, post

CLIENTS, EACH = 50, 10.0  # metrics a second
SEARCHERS, PAUSE = 2, 0.5
GOAL_RATE, GOAL_P95, GOAL_SEARCH = 500, 50, 100
_API = "/api/2.0/mlflow/runs"


def measure(
    port: int, token: str, run: Callable[[], str], wanted: object, seconds: float
) -> dict[str, Any]:
    """Metrics served each second, and the milliseconds of those calls and of a search."""
    logging = [_logger(run(), token) for _ in range(CLIENTS)]
    looking = [Client(lambda: post(f"{_API}/search", wanted, token), every=PAUSE)] * SEARCHERS
    with ThreadPoolExecutor(2) as both:
        logs = both.submit(closed_loop, port, logging, seconds=seconds)
        searches = both.submit(closed_loop, port, looking, seconds=seconds)
        logged, found = logs.result(), searches.result()
    for done in (logged, found):
        if set(done.statuses) != {200}:
            raise SystemExit(f"the load was answered {dict(done.statuses)}")
    return {
        "per_second": logged.statuses[200] / logged.seconds,
        "p95": _p95(logged),
        "search_p95": _p95(found),
    }


def goals(kind: str, measured: dict[str, Any]) -> list[dict[str, Any]]:
    rate, about = measured["per_second"], f"{CLIENTS} clients, {kind}"
    met = rate >= 0.98 * GOAL_RATE
    print(f"  {'met   ' if met else 'MISSED'}  {about}: {rate:.0f} metrics/s, goal {GOAL_RATE}")
    served = {"name": about, "value": rate, "goal": GOAL_RATE, "unit": "metrics/s", "met": met}
    return [
        served,
        report.verdict(f"{about}: p95 of a metric", measured["p95"], GOAL_P95, "ms"),
        report.verdict(f"{about}: p95 of a search", measured["search_p95"], GOAL_SEARCH, "ms"),
    ]


def row(name: str, measured: dict[str, Any]) -> tuple[str, ...]:
    figures = (measured["per_second"], measured["p95"], measured["search_p95"])
    return (name, *(f"{figure:.0f}" for figure in figures))


def _logger(run: str, token: str) -> Client:
    steps = count()

    def ask() -> bytes:
        step = next(steps)
        at = 1_700_000_000_000 + step
        point = {"key": "loss", "value": step / 7, "timestamp": at, "step": step}
        return post(f"{_API}/log-metric", {"run_id": run, "run_uuid": run} | point, token)

    return Client(ask, every=1 / EACH)


def _p95(done: Answered) -> float:
    return report.spread(done.milliseconds)["p95"]
