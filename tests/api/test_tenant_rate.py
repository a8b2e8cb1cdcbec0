"""A tenant's requests per minute: counted for whoever is known, together, and for nobody else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import update

from maestro_ml.api.main import create_app
from maestro_ml.core.access import Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database, Redis
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.tenancy.models import Tenant
from support.databases import REDIS
from support.signin import MovingClock, an_api_key
from support.world import ACME, OTHER, USERS

ALLOWED = 6
Ask = Any


@asynccontextmanager
async def running(
    database: str, folder: Path, clock: MovingClock, redis: str | None
) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(
        data=folder,
        database=Database(url=SecretStr(database)),
        redis=Redis(url=redis and SecretStr(redis)),
    )
    app = create_app(settings, clock=clock, greet=False)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http,
    ):
        yield http


class Callers:
    def __init__(self, http: httpx2.AsyncClient, keys: dict[Any, str]) -> None:
        self.http = http
        self.keys = keys

    async def __call__(
        self, role: Role = Role.ADMIN, tenant: Any = ACME, path: str = "/api/v1/projects"
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.keys[tenant, role]}"}
        return await self.http.get(path, headers=headers)


@pytest.fixture
async def keys(sessions: Sessions) -> dict[Any, str]:
    return {
        (tenant, role): await an_api_key(sessions, str(USERS[tenant, role]), tenant)
        for tenant in (ACME, OTHER)
        for role in (Role.ADMIN, Role.VIEWER)
    }


@pytest.fixture
async def clock() -> MovingClock:
    return MovingClock(stopped=utc_now())


@pytest.fixture(params=[None, REDIS], ids=["alone", "redis"])
async def callers(
    request: pytest.FixtureRequest,
    database: str,
    tmp_path: Path,
    keys: dict[Any, str],
    clock: MovingClock,
) -> AsyncIterator[Callers]:
    async with running(database, tmp_path, clock, request.param) as http:
        yield Callers(http, keys)


async def limit(sessions: Sessions, allowed: int | None) -> None:
    async with sessions.begin(SYSTEM) as session:
        change = update(Tenant).where(Tenant.id == ACME)
        await session.execute(change.values(max_requests_per_minute=allowed))


async def test_a_tenants_callers_share_the_limit_and_others_have_none_of_it(
    callers: Callers, sessions: Sessions, clock: MovingClock
) -> None:
    await limit(sessions, ALLOWED)
    statuses = [
        (await callers([Role.ADMIN, Role.VIEWER][n % 2])).status_code for n in range(ALLOWED)
    ]
    assert statuses == [200] * ALLOWED
    answer = await callers()
    assert answer.status_code == 429
    told = answer.json()
    assert told["type"] == "/problems/requests-exceeded"
    assert (told["limit"], told["allowed"]) == ("max_requests_per_minute", ALLOWED)
    assert 1 <= int(answer.headers["retry-after"]) <= 60 / ALLOWED
    assert (await callers(tenant=OTHER)).status_code == 200
    assert (await callers.http.get("/health")).status_code == 200
    clock.move(seconds=60 / ALLOWED)
    assert [(await callers()).status_code for _ in range(2)] == [200, 429]


async def test_a_changed_limit_counts_on_the_next_request(
    callers: Callers, sessions: Sessions
) -> None:
    await limit(sessions, 1)
    assert [(await callers()).status_code for _ in range(2)] == [200, 429]
    await limit(sessions, None)
    assert [(await callers()).status_code for _ in range(3)] == [200] * 3


async def test_forty_at_once_get_as_many_answers_as_they_may(
    callers: Callers, sessions: Sessions
) -> None:
    await limit(sessions, ALLOWED)
    answers = await asyncio.gather(*(callers() for _ in range(40)))
    assert Counter(a.status_code for a in answers) == {200: ALLOWED, 429: 40 - ALLOWED}


async def test_mlflows_clients_are_told_in_their_own_words(
    callers: Callers, sessions: Sessions
) -> None:
    await limit(sessions, 1)
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=none"
    assert (await callers(path=path)).status_code == 404
    answer = await callers(path=path)
    assert answer.status_code == 429
    assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert "retry-after" in answer.headers


async def test_with_redis_two_processes_count_together(
    database: str, tmp_path: Path, keys: dict[Any, str], clock: MovingClock, sessions: Sessions
) -> None:
    await limit(sessions, ALLOWED)
    async with (
        running(database, tmp_path, clock, REDIS) as one,
        running(database, tmp_path, clock, REDIS) as other,
    ):
        both = [Callers(one, keys), Callers(other, keys)]
        answers = await asyncio.gather(*(both[n % 2]() for n in range(20)))
    assert Counter(a.status_code for a in answers) == {200: ALLOWED, 429: 20 - ALLOWED}
