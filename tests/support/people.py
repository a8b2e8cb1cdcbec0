"""A server of accounts, tenants and projects in this process, and whoever of the tiny world calls.

The callers are signed in for real, by a session that needed no password.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from maestro_ml.api.main import make_worker
from maestro_ml.approvals.routes import router as approvals
from maestro_ml.approvals.routes_policies import router as approval_policies
from maestro_ml.audit.routes import router as audit_routes
from maestro_ml.core.access import Role
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import User
from maestro_ml.identity.routes import (
    accounts,
    api_keys,
    device,
    identity_providers,
    invitations,
    mfa,
    oidc,
    self_service,
    service_accounts,
    setup,
    tenants,
    users,
)
from maestro_ml.identity.routes import sessions as session_routes
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service import sessions as verbs
from maestro_ml.identity.service.places import place_of
from maestro_ml.jobs import service as queue
from maestro_ml.mail.models import Mail
from maestro_ml.mail.post import Post
from maestro_ml.mail.routes import router as outbox
from maestro_ml.projects import service as projects
from maestro_ml.projects.routes import router as project_routes
from support.mail import mails
from support.routing import include
from support.signin import API, MovingClock, signin_app
from support.things import KINDS
from support.world import ACME, USERS

ROUTERS = (
    api_keys.router,
    invitations.router,
    mfa.router,
    session_routes.router,
    self_service.router,
    setup.router,
    users.router,
    service_accounts.router,
    accounts.router,
    tenants.router,
    identity_providers.router,
    oidc.router,
    device.router,
    project_routes,
    approvals,
    approval_policies,
    audit_routes,
    outbox,
)


@dataclass
class People:
    """Calls of the API, each as somebody: by their access token or API key, or as nobody."""

    sessions: Sessions
    identity: Identity
    clock: MovingClock
    http: httpx2.AsyncClient
    post: Post

    async def mailed(self, kind: str | None = None) -> list[Mail]:
        """Work off what there is to do, and look into the outbox: the oldest first."""
        worker = make_worker(
            self.identity.settings, self.sessions, clock=self.clock, post=self.post
        )
        while await worker.run_one():
            pass
        return await mails(self.sessions, kind)

    async def link(self, kind: str) -> str:
        """The link of the newest mail of that kind."""
        text = str(self.post.shown((await self.mailed(kind))[-1]))
        return next(word for word in text.split() if "#" in word)

    async def link_token(self, kind: str) -> str:
        """What stands behind its `#`."""
        return (await self.link(kind)).rpartition("#")[2]

    async def token(self, role: Role = Role.ADMIN, tenant: UUID = ACME) -> str:
        """The world's user of that role in that tenant signs in."""
        return await self.enter(USERS[tenant, role], tenant)

    async def enter(self, user_id: UUID, tenant: UUID | None) -> str:
        async with open_system_work(self.sessions, clock=self.clock) as work:
            user = await work.session.get_one(User, user_id)
            begun = await verbs.start(work, self.identity, await place_of(work, user.id, tenant))
        return begun.access_token

    async def __call__(
        self, who: str | None, method: str, path: str, body: object = None, **more: str
    ) -> httpx2.Response:
        sent: dict[str, Any] = {} if body is None else {"json": body}
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        headers["X-Request-ID"] = "same"
        if who is not None:
            headers["Authorization"] = f"Bearer {who}"
        return await self.http.request(method, API + path, headers=headers, **sent)

    async def ok(self, who: str | None, method: str, path: str, body: object = None) -> Any:
        answer = await self(who, method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def made(self, who: str | None, path: str, body: object) -> Any:
        answer = await self(who, "POST", path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def refused(
        self, status: int, who: str | None, method: str, path: str, body: object = None
    ) -> Any:
        answer = await self(who, method, path, body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()

    async def code(
        self, status: int, who: str | None, method: str, path: str, body: object = None
    ) -> str:
        """What the refusal is called."""
        problem = await self.refused(status, who, method, path, body)
        return str(problem["type"]).removeprefix("/problems/")


@asynccontextmanager
async def a_people_server(
    sessions: Sessions, folder: Path, **options: Any
) -> AsyncIterator[People]:
    settings = Settings(data=folder, **options)
    clock = MovingClock()
    identity = Identity.build(settings, sessions, clock)
    await identity.start()
    app = signin_app(settings, sessions, identity)
    app.state.projects = projects
    app.state.queue = queue
    app.state.subjects = KINDS
    app.state.post = post = Post(settings.mail, identity.secret)
    include(app, *((API, router) for router in ROUTERS))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        yield People(sessions, identity, clock, http, post)
    await identity.stop()
