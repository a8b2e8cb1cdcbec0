"""Filtered pages over 1,000,000 audit events, beside the query by the driver alone."""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
from sqlalchemy import make_url, update

from benchmarks import report
from benchmarks.databases import Database, database, kinds, plain
from benchmarks.load import open_loop, request
from benchmarks.seed import seed
from benchmarks.server import Server, maestro
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import ApiKey, Membership

EVENTS = 1_000_000
TENANTS = 2  # the second one has a hundredth of them
ACTORS = 50
ACTIONS = (
    *("session.started", "session.refreshed", "session.ended", "project.created"),
    *("project.changed", "run.deleted", "experiment.created", "member.changed", "api_key.created"),
)
RARE = "signing_key.rotated"  # one in a hundred thousand
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=300)
RATE = 10.0
SLICES = 3
SLICE_SECONDS = 4.0
QUERIES = 60  # by the driver alone, in each slice
PATH = "/api/v1/audit-events"
ORDER = "ORDER BY created_at DESC, id DESC LIMIT 51"
GOAL_P95 = 50
COLUMNS = (
    *("id", "tenant_id", "created_at", "actor_id", "actor_kind", "action", "target_type"),
    *("target_id", "facts", "ip", "user_agent", "request_id"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A filter as it is asked for, and as the bare query has it."""

    name: str
    asked: str
    where: str
    values: tuple[Any, ...]

    @property
    def path(self) -> str:
        return f"{PATH}?{self.asked}"


def main() -> None:
    rows: list[tuple[str, ...]] = []
    found: dict[str, Any] = {}
    for kind in kinds():
        found[kind] = measure(kind)
        rows += [
            (
                f"{name}, {kind}",
                f"{one['http']['p50']:.2f}",
                f"{one['http']['p95']:.2f}",
                f"{one['http']['max']:.2f}",
                f"{one['driver']['p95']:.2f}",
                f"{one['http']['p95'] / one['driver']['p95']:.1f}",
                f"{one['http']['cpu_ms']:.2f}",
            )
            for name, one in found[kind].items()
        ]
    title = f"Pages of 50 out of {EVENTS:,} events, open loop, {RATE:g} requests/s"
    report.table(title, ("ms", "p50", "p95", "max", "driver p95", "ratio", "server CPU"), rows)
    goals = [
        report.verdict(f"{name}, {kind}", one["http"]["p95"], GOAL_P95, "ms")
        for kind, pages in found.items()
        for name, one in pages.items()
    ]
    report.save("audit", {**found, "goals": goals})


def measure(kind: str) -> dict[str, Any]:
    with database(kind) as data:
        with maestro(data):
            pass  # the first start makes the schema
        seeded = asyncio.run(seed(data.url, tenants=TENANTS, projects=TENANTS))
        asyncio.run(_make_admins(data.url))
        actors = [new_id() for _ in range(ACTORS)]
        _fill(data, seeded.tenants, actors)
        # As before every measured start: no sealing runs in between.
        env = {"MAESTRO_JOBS__WORKER": "false"}
        with maestro(data, env) as server:
            pages = list(_pages(actors))
            return _slices(data, server, pages, seeded.keys[0], seeded.tenants[0])


def _pages(actors: list[UUID]) -> Iterator[Page]:
    actor, day = actors[7], BEGAN + SPAN / 2
    until = day + timedelta(days=1)
    yield Page("newest", "", "true", ())
    yield Page("by actor", f"actor_id={actor}", "actor_id = {}", (actor,))
    yield Page("by action", f"action={ACTIONS[5]}", "action = {}", (ACTIONS[5],))
    yield Page("by rare action", f"action={RARE}", "action = {}", (RARE,))
    yield Page("by action.*", "action=session.*", "action LIKE {}", ("session.%",))
    yield Page("by target", "target_type=thing&target_id=777", "target_id = {}", ("777",))
    yield Page(
        "by time range",
        f"since={quote(day.isoformat())}&until={quote(until.isoformat())}",
        "created_at >= {} AND created_at < {}",
        (day, until),
    )
    yield Page(
        "by actor and time",
        f"actor_id={actor}&until={quote(day.isoformat())}",
        "actor_id = {} AND created_at < {}",
        (actor, day),
    )


def _slices(
    data: Database, server: Server, pages: list[Page], key: str, tenant: UUID
) -> dict[str, Any]:
    """In turns, so that what else the machine does falls on all of them."""
    asked: dict[str, list[float]] = {page.name: [] for page in pages}
    cpu = dict.fromkeys(asked, 0.0)
    bare: dict[str, list[float]] = {page.name: [] for page in pages}
    for round in range(SLICES + 1):
        for page in pages:
            head = request(page.path, key)
            seconds = SLICE_SECONDS if round else 1.0
            before = server.cpu_seconds()
            outcome = open_loop(server.port, [head], rate=RATE, seconds=seconds)
            if outcome.failures:
                raise SystemExit(f"{len(outcome.failures)} requests failed: {outcome.failures[0]}")
            used = server.cpu_seconds() - before
            driven = asyncio.run(_by_driver(data, page, tenant))
            if round:  # the first one warms up
                asked[page.name] += outcome.milliseconds
                bare[page.name] += driven
                cpu[page.name] += used
    return {
        name: {
            "http": report.spread(took) | {"cpu_ms": cpu[name] * 1000 / len(took)},
            "driver": report.spread(bare[name]),
        }
        for name, took in asked.items()
    }


async def _by_driver(data: Database, page: Page, tenant: UUID) -> list[float]:
    took = []
    values = (tenant, *page.values)
    if data.kind == "sqlite":
        where = page.where.format(*["?"] * len(page.values))
        sql = f"SELECT * FROM audit_events WHERE tenant_id = ? AND {where} {ORDER}"
        bound = [_sqlite(value) for value in values]
        with closing(sqlite3.connect(_file(data))) as connection:
            for _ in range(QUERIES):
                began = time.perf_counter()
                connection.execute(sql, bound).fetchall()
                took.append((time.perf_counter() - began) * 1000)
        return took
    where = page.where.format(*(f"${n + 2}" for n in range(len(page.values))))
    sql = f"SELECT * FROM audit_events WHERE tenant_id = $1 AND {where} {ORDER}"
    remote = await asyncpg.connect(plain(data.url))
    for _ in range(QUERIES):
        began = time.perf_counter()
        await remote.fetch(sql, *values)
        took.append((time.perf_counter() - began) * 1000)
    await remote.close()
    return took


async def _make_admins(url: str) -> None:
    engines = make_engines(url)
    async with Sessions(engines).begin(SYSTEM) as session:
        await session.execute(update(Membership).values(role=Role.ADMIN))
        await session.execute(update(ApiKey).values(scopes=["read", "write", "admin"]))
    await engines.dispose()


def _fill(data: Database, tenants: list[UUID], actors: list[UUID]) -> None:
    """By the drivers' bulk ways, as the tables' owner."""
    if data.kind == "sqlite":
        marks = ", ".join("?" * len(COLUMNS))
        with closing(sqlite3.connect(_file(data))) as connection, connection:
            connection.execute("PRAGMA cache_size = -500000")
            connection.executemany(
                f"INSERT INTO audit_events ({', '.join(COLUMNS)}) VALUES ({marks})",
                ([_sqlite(value) for value in row] for row in _events(tenants, actors)),
            )
        return
    asyncio.run(_copy(data, tenants, actors))


async def _copy(data: Database, tenants: list[UUID], actors: list[UUID]) -> None:
    remote = await asyncpg.connect(plain(data.url))
    await remote.copy_records_to_table(
        "audit_events", records=_events(tenants, actors), columns=COLUMNS
    )
    await remote.execute("ANALYZE audit_events")
    await remote.close()


def _events(tenants: list[UUID], actors: list[UUID]) -> Iterator[tuple[Any, ...]]:
    for n in range(EVENTS + EVENTS // 100):
        tenant = tenants[0] if n < EVENTS else tenants[1]
        at = BEGAN + SPAN * ((n % EVENTS) / EVENTS)
        id = UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 2 << 62 | n)
        action = RARE if n % 100_000 == 99 else ACTIONS[n % len(ACTIONS)]
        facts = json.dumps({"n": n, "name": f"Thing {n}", "reason": "benchmark"})
        yield (
            *(id, tenant, at, actors[n * 7 % ACTORS], "user", action, "thing", str(n % 20_000)),
            *(facts, f"10.0.{n % 250}.1", "maestro-ml-client", secrets.token_hex(16)),
        )


def _sqlite(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


def _file(data: Database) -> Path:
    return Path(make_url(data.url).database or "")


if __name__ == "__main__":
    main()
