"""The secret of an upload is worth what the session or key that began it still is."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import Update, delete, update

from maestro_ml.api.main import create_app
from maestro_ml.core.access import Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import ApiKey, Membership, Session, User
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.tenancy.models import Tenant
from support.files import FILES, counted
from support.signin import API, a_registration, an_api_key
from support.world import ACME, LAB, USERS

MLFLOW = "/api/2.0/mlflow"
MAINTAINER = USERS[ACME, Role.MAINTAINER]


@pytest.fixture
async def http(database: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(data=tmp_path, database=Database(url=SecretStr(database)))
    app = create_app(settings, greet=False)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http,
    ):
        yield http


async def begun(http: httpx2.AsyncClient, token: str) -> Callable[..., Any]:
    """An upload's address and secret, for sending a part of it."""
    who = {"Authorization": f"Bearer {token}", "X-MLFLOW-WORKSPACE": "lab"}
    body: dict[str, Any] = {"experiment_id": "0"}
    answer = await http.post(f"{MLFLOW}/runs/create", json=body, headers=who)
    assert answer.status_code == 200, answer.text
    run = answer.json()["run"]["info"]
    root = f"{run['experiment_id']}/{run['run_id']}/artifacts"
    body = {"path": "large", "num_parts": 2}
    answer = await http.post(f"{FILES}/mpu/create/{root}", json=body, headers=who)
    told = answer.json()["credentials"][0]

    async def send(content: Any = b"1234") -> int:
        answer = await http.put(told["url"], content=content, headers=told["headers"])
        return int(answer.status_code)

    return send


ENDS: dict[str, Update] = {
    "their key is revoked": update(ApiKey).values(revoked_at=utc_now()),
    "their key reads only": update(ApiKey).values(scopes=["read"]),
    "their key is for other projects": update(ApiKey).values(project_ids=[]),
    "their account is disabled": update(User).where(User.id == MAINTAINER).values(active=False),
    "they are deactivated": update(Membership)
    .where(Membership.user_id == MAINTAINER)
    .values(active=False),
    "they only look on": update(Membership)
    .where(Membership.user_id == MAINTAINER)
    .values(role=Role.VIEWER),
    "the project is private": update(Project)
    .where(Project.id == LAB)
    .values(visibility=Visibility.PRIVATE),
}


@pytest.mark.rows(60)
async def test_no_part_is_taken_any_more_when_whoever_began_it_may_not_write(
    http: httpx2.AsyncClient, sessions: Sessions
) -> None:
    for end, change in ENDS.items():
        key = await an_api_key(sessions, str(MAINTAINER), ACME)
        send = await begun(http, key)
        assert await send() == 200, end
        before = await counted(sessions)
        async with sessions.begin(SYSTEM) as session:
            await session.execute(change)
        assert await send() == 404, end
        assert await counted(sessions) == before, end
        async with sessions.begin(SYSTEM) as session:
            await session.execute(delete(ApiKey))
            await session.execute(update(User).values(active=True))
            await session.execute(
                update(Membership)
                .where(Membership.user_id == MAINTAINER)
                .values(active=True, role=Role.MAINTAINER)
            )
            await session.execute(update(Project).values(visibility=Visibility.INTERNAL))
        assert await send() == 404, end  # their key is gone, whatever else came back


@pytest.mark.rows(60)
async def test_nor_one_that_was_on_its_way_then(
    http: httpx2.AsyncClient, sessions: Sessions
) -> None:
    send = await begun(http, await an_api_key(sessions, str(MAINTAINER), ACME))

    async def slowly() -> AsyncIterator[bytes]:
        yield b"12"
        async with sessions.begin(SYSTEM) as session:
            await session.execute(update(ApiKey).values(revoked_at=utc_now()))
        yield b"34"

    assert await send(slowly()) == 404
    assert await counted(sessions) == 0


async def test_an_upload_of_a_session_ends_with_it(
    http: httpx2.AsyncClient, sessions: Sessions
) -> None:
    made = (await http.post(f"{API}/auth/register", json=a_registration())).json()
    async with sessions.begin(SYSTEM) as session:
        user = UUID(made["user"]["id"])
        await session.execute(update(Session).where(Session.user_id == user).values(tenant_id=ACME))
        session.add(place := Membership(user_id=user, role=Role.MEMBER, created_at=utc_now()))
        place.tenant_id = ACME
    who = {"Authorization": f"Bearer {made['access_token']}"}
    send = await begun(http, made["access_token"])
    assert await send() == 200
    assert (await http.post(f"{API}/auth/logout", headers=who)).status_code == 204
    assert await send() == 404


async def test_parts_count_among_their_tenants_requests(
    http: httpx2.AsyncClient, sessions: Sessions
) -> None:
    send = await begun(http, await an_api_key(sessions, str(MAINTAINER), ACME))
    async with sessions.begin(SYSTEM) as session:
        change = update(Tenant).where(Tenant.id == ACME)
        await session.execute(change.values(max_requests_per_minute=2))
    assert [await send() for _ in range(3)] == [200, 200, 429]
