"""`GET /api/v1/projects` at a fixed rate, beside a bare route and the query by the driver alone."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import make_url

from benchmarks import report
from benchmarks.databases import Database, database, kinds, plain
from benchmarks.load import Outcome, fetch, open_loop, request
from benchmarks.seed import seed
from benchmarks.server import Server, bare, maestro

TENANTS = 20
PROJECTS = 10_000
RATE = 100.0
SLICES = 3
SLICE_SECONDS = 5.0
QUERIES = 100  # by the driver alone, in each slice
PATH = "/api/v1/projects"
SELECT = "SELECT * FROM projects WHERE tenant_id = {} ORDER BY id DESC LIMIT 51"
GOAL_P95 = 20


def main() -> None:
    rows: list[tuple[str, ...]] = []
    found: dict[str, Any] = {}
    for kind in kinds():
        found[kind] = measure(kind)
        limit = found[kind]["bare"]["p95"]
        for what in ("list", "bare", "driver"):
            spread = found[kind][what]
            rows.append(
                (
                    f"{LABELS[what]}, {kind}",
                    *(f"{spread[p]:.2f}" for p in ("p50", "p95", "p99", "max")),
                    f"{spread['p95'] / limit:.1f}",
                    f"{spread['cpu_ms']:.2f}" if "cpu_ms" in spread else "",
                )
            )
    head = ("ms", "p50", "p95", "p99", "max", "p95 ratio", "server CPU")
    title = f"{PROJECTS} projects in {TENANTS} tenants, open loop, {RATE:g} requests/s"
    report.table(title, head, rows)
    goals = [
        report.verdict(f"p95, {kind}", one["list"]["p95"], GOAL_P95, "ms")
        for kind, one in found.items()
    ]
    report.save("projects_list", {**found, "goals": goals})


LABELS = {"list": f"GET {PATH}", "bare": "bare route, same bytes", "driver": "driver alone"}


def measure(kind: str) -> dict[str, Any]:
    with database(kind) as data:
        with maestro(data):
            pass  # the first start makes the schema
        seeded = asyncio.run(seed(data.url, tenants=TENANTS, projects=PROJECTS))
        heads = [request(PATH, key) for key in seeded.keys]
        with maestro(data) as server:
            page = data.folder / "page.json"
            page.write_bytes(fetch(server.port, heads[0]))
            with bare(data.folder, page) as limit:
                return _slices(data, server, limit, heads, seeded.tenants)


def _slices(
    data: Database, server: Server, limit: Server, heads: list[bytes], tenants: list[UUID]
) -> dict[str, Any]:
    """In turns, so that what else the machine does falls on all of them."""
    asked: dict[str, list[float]] = {"list": [], "bare": [], "driver": []}
    cpu = {"list": 0.0, "bare": 0.0}
    open_loop(server.port, heads, rate=RATE, seconds=2)  # warm
    open_loop(limit.port, heads, rate=RATE, seconds=1)
    for _ in range(SLICES):
        for what, running in (("list", server), ("bare", limit)):
            before = running.cpu_seconds()
            asked[what] += _checked(
                open_loop(running.port, heads, rate=RATE, seconds=SLICE_SECONDS)
            )
            cpu[what] += running.cpu_seconds() - before
        asked["driver"] += asyncio.run(_by_driver(data, tenants))
    spreads: dict[str, Any] = {what: report.spread(took) for what, took in asked.items()}
    for what, seconds in cpu.items():
        spreads[what]["cpu_ms"] = seconds * 1000 / len(asked[what])
    return spreads


def _checked(outcome: Outcome) -> list[float]:
    if outcome.failures:
        raise SystemExit(f"{len(outcome.failures)} requests failed: {outcome.failures[0]}")
    return outcome.milliseconds


async def _by_driver(data: Database, tenants: list[UUID]) -> list[float]:
    took = []
    if data.kind == "sqlite":
        file = Path(make_url(data.url).database or "")
        connection = sqlite3.connect(file)
        for n in range(QUERIES):
            began = time.perf_counter()
            connection.execute(SELECT.format("?"), [tenants[n % TENANTS].hex]).fetchall()
            took.append((time.perf_counter() - began) * 1000)
        connection.close()
        return took
    remote = await asyncpg.connect(plain(data.url))
    for n in range(QUERIES):
        began = time.perf_counter()
        await remote.fetch(SELECT.format("$1"), tenants[n % TENANTS])
        took.append((time.perf_counter() - began) * 1000)
    await remote.close()
    return took


if __name__ == "__main__":
    main()
