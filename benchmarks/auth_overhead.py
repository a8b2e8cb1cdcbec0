"""The CPU that knowing the caller adds to a request, in the server's own process.

The same application and the same trivial route, asked in turns by a caller who is known beforehand
(the limit) and by callers who prove who they are. The web server's and the client's own work are
left out; PostgreSQL's is, too.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from statistics import median
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from sqlalchemy import select
from starlette.types import Message

from benchmarks import report
from benchmarks.databases import Database, database, kinds
from benchmarks.seed import PEOPLE, seed
from maestro_ml.api.main import create_app
from maestro_ml.core.access import Access, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database as DatabaseSettings
from maestro_ml.core.settings_groups import Log
from maestro_ml.db.work import open_system_work
from maestro_ml.http.deps import Runtime
from maestro_ml.identity import tokens
from maestro_ml.identity.models import ApiKey, Session, SessionKind
from maestro_ml.identity.runtime import Identity
from maestro_ml.migrations.run import upgrade

ROUNDS = 15
REQUESTS = 200  # in each round
FEW, MANY = 4, 100  # projects whose team the caller is in
PATH = "/api/v1/benchmark"
GOALS = {"sqlite": 0.5, "postgresql": 2.5}


@dataclass(frozen=True, slots=True)
class Way:
    """How a caller proves who they are: one Authorization header after another."""

    name: str
    proofs: Iterator[str]
    known: bool = False


def main() -> None:
    rows: list[tuple[str, ...]] = []
    found: dict[str, Any] = {}
    for kind in kinds():
        with database(kind) as data:
            found[kind] = asyncio.run(measure(data))
        limit = found[kind]["known"]
        rows += [
            (f"{way}, {kind}", f"{ms:.3f}", f"{ms - limit:+.3f}", f"{ms / limit:.2f}")
            for way, ms in found[kind].items()
        ]
    title = f"CPU per request, medians of {ROUNDS} rounds of {REQUESTS}"
    report.table(title, ("caller", "ms", "added", "ratio"), rows)
    goals = [
        report.verdict(f"{way}, {kind}", one[way] - one["known"], GOALS[kind], "ms")
        for kind, one in found.items()
        for way in ("access token", "API key")
    ]
    report.save("auth_overhead", {**found, "goals": goals})


async def measure(data: Database) -> dict[str, float]:
    """Milliseconds of CPU for each way."""
    await upgrade(data.url)
    few = await seed(data.url, tenants=1, projects=PEOPLE * FEW)
    many = await seed(data.url, tenants=1, projects=PEOPLE * MANY, first=1)
    settings = Settings(
        data=data.folder / "data",
        database=DatabaseSettings(url=data.url),
        log=Log(level="error"),
    )
    settings.data.mkdir(mode=0o700)
    app = create_app(settings)
    app.add_api_route(PATH, nothing)
    async with app.router.lifespan_context(app):
        ways = [
            Way("known", cycle(["Bearer known"]), known=True),
            Way("access token", cycle(await access_tokens(app, few.keys[0], 1))),
            Way("access token, each new", cycle(await access_tokens(app, few.keys[0], 5_000))),
            Way("API key", cycle([f"Bearer {few.keys[0]}"])),
            Way(f"API key, in {MANY} teams", cycle([f"Bearer {many.keys[0]}"])),
        ]
        return await _in_turns(app, ways)


async def _in_turns(app: FastAPI, ways: list[Way]) -> dict[str, float]:
    real: Runtime = app.state.runtime
    stub = replace(real, authenticate=_known_beforehand)
    took: dict[str, list[float]] = {way.name: [] for way in ways}
    for round in range(ROUNDS + 1):
        for way in ways:
            app.state.runtime = stub if way.known else real
            began = time.process_time()
            for _ in range(REQUESTS):
                await ask(app, next(way.proofs))
            if round:  # the first one warms up
                took[way.name].append((time.process_time() - began) * 1000 / REQUESTS)
    app.state.runtime = real
    return {name: median(rounds) for name, rounds in took.items()}


async def nothing() -> dict[str, bool]:
    return {"ok": True}


_CALLER = Access(actor_id=new_id(), tenant_id=new_id(), role=Role.MEMBER)


async def _known_beforehand(_: Request) -> Access:
    return _CALLER


async def ask(app: FastAPI, proof: str) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", proof.encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    if statuses != [200]:
        raise SystemExit(f"The benchmark's own route answered {statuses}.")


async def access_tokens(app: FastAPI, key: str, number: int) -> list[str]:
    """Headers of one session of the key's owner."""
    identity: Identity = app.state.identity
    runtime: Runtime = app.state.runtime
    session_id = new_id()
    now = utc_now()
    async with open_system_work(runtime.sessions) as work:
        owner = select(ApiKey.user_id, ApiKey.tenant_id).where(ApiKey.hash == tokens.digest(key))
        user, tenant = (await work.session.execute(owner)).one()
        kid = await identity.signing_kid(work)
        work.session.add(
            Session(
                id=session_id,
                user_id=user,
                tenant_id=tenant,
                kind=SessionKind.API,
                created_at=now,
                auth_time=now,
                last_seen_at=now,
                expires_at=now.replace(year=now.year + 1),
            )
        )

    def token(who: UUID) -> str:
        return identity.ring.issue(kid, user=who, session=session_id, tenant=tenant, now=now)

    return [f"Bearer {token(user)}" for _ in range(number)]


if __name__ == "__main__":
    main()
