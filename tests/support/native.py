"""The native API of a few routers over a test's database, with callers known by their role.

`Bearer maintainer` is ACME's maintainer and `Bearer admin@other` OTHER's admin, with the project
roles that the database knows of, as for a caller who has signed in.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import select

from maestro_ml.core.access import Access, Role
from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.http import problems
from maestro_ml.http.deps import Runtime
from maestro_ml.http.entry import Entry
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.middleware import Edge
from maestro_ml.projects.models import ProjectMember
from support.routing import include
from support.world import OTHER, caller

CALLERS: Mapping[str, Access] = {
    **{str(role): caller(role) for role in Role},
    **{f"{role}@other": caller(role, OTHER) for role in Role},
}


class Api:
    """Calls of the native API, each as somebody."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def __call__(
        self, who: str, method: str, path: str, body: object = None, **more: Any
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {who}", "X-Request-ID": "same"}
        sent: dict[str, Any] = {} if body is None else {"json": body}
        return await self.http.request(method, path, headers=headers, **sent, **more)

    async def ok(self, who: str, method: str, path: str, body: object = None, **more: Any) -> Any:
        answer = await self(who, method, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def refused(
        self, status: int, who: str, method: str, path: str, body: object = None, **more: Any
    ) -> Any:
        answer = await self(who, method, path, body, **more)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()


@asynccontextmanager
async def native_api(
    sessions: Sessions,
    folder: Path,
    *routers: APIRouter,
    callers: Mapping[str, Access] = CALLERS,
    clock: Clock = utc_now,
    **state: object,
) -> AsyncIterator[Api]:
    """`state` is put on the application; `callers` may be added to."""

    async def authenticate(request: Request) -> Access:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        access = callers.get(token)
        if access is None or access.tenant_id is None:
            raise Unauthenticated
        async with sessions.begin(SYSTEM, read_only=True) as session:
            query = select(ProjectMember.project_id, ProjectMember.role).where(
                ProjectMember.tenant_id == access.tenant_id,
                ProjectMember.user_id == access.actor_id,
            )
            roles = dict(list(await session.execute(query)))
        return replace(access, project_roles=roles)

    app = FastAPI()
    settings = Settings(data=folder)
    app.state.runtime = Runtime(settings, sessions, authenticate, clock)
    for name, value in state.items():
        setattr(app.state, name, value)
    problems.install(app, {})
    include(app, *(("/api/v1", router) for router in routers))
    app.add_middleware(Entry)
    app.add_middleware(Edge, settings=settings, metrics=Metrics())
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v1") as http:
        yield Api(http)
