"""A server of the sign-in routes alone, in this process, with a clock that tests move."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI

from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.http import problems
from maestro_ml.http.deps import Runtime
from maestro_ml.http.entry import Entry
from maestro_ml.http.metrics import Metrics
from maestro_ml.http.middleware import Edge
from maestro_ml.identity import tokens
from maestro_ml.identity.models import ApiKey
from maestro_ml.identity.routes.auth import router, well_known
from maestro_ml.identity.runtime import Identity
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.leaks import secret
from support.live import a_password
from support.routing import include

API = "/api/v1"


@dataclass
class MovingClock:
    moved: timedelta = field(default_factory=timedelta)
    stopped: datetime | None = None

    def __call__(self) -> datetime:
        return (self.stopped or utc_now()) + self.moved

    def stop(self) -> None:
        """From now on it goes by `move` alone."""
        self.stopped = utc_now()

    def move(self, **by: float) -> None:
        self.moved += timedelta(**by)


def signin_app(
    settings: Settings, sessions: Sessions, identity: Identity, **options: Any
) -> FastAPI:
    app = FastAPI(**options)
    app.state.runtime = Runtime(settings, sessions, identity.authenticate, identity.clock)
    app.state.identity = identity
    problems.install(app, {})
    include(app, (API, router), ("", well_known))
    app.add_middleware(Entry)
    app.add_middleware(Edge, settings=settings, metrics=Metrics())
    return app


@dataclass
class SignInServer:
    identity: Identity
    clock: MovingClock
    http: httpx2.AsyncClient

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        return await self.http.post(f"{API}/auth/{path}", json=body, headers=_named(headers))

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.http.get(f"{API}/auth/{path}", headers=_named(headers))

    async def me(self, token: str) -> httpx2.Response:
        return await self.get("me", authorization=f"Bearer {token}")

    async def register(self, **changes: Any) -> dict[str, Any]:
        """A new person; beside the answer, their password."""
        body = a_registration(**changes)
        answer = await self.post("register", body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made | {"password": body["password"], "email": body["email"]}

    async def login(self, person: dict[str, Any], **headers: str) -> dict[str, Any]:
        body = {"email": person["email"], "password": person["password"]}
        answer = await self.post("login", body, **headers)
        assert answer.status_code == 200, answer.text
        signed_in: dict[str, Any] = answer.json()
        return signed_in


def a_registration(**changes: Any) -> dict[str, Any]:
    name = secrets.token_hex(6)
    body = {"email": f"{name}@someone.test", "password": a_password(), "name": "Some One"}
    return body | changes


@asynccontextmanager
async def a_signin_server(
    sessions: Sessions, folder: Path, **options: Any
) -> AsyncIterator[SignInServer]:
    settings = Settings(data=folder, **options)
    clock = MovingClock()
    identity = Identity.build(settings, sessions, clock)
    await identity.start()
    transport = httpx2.ASGITransport(app=signin_app(settings, sessions, identity))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        yield SignInServer(identity, clock, http)
    await identity.stop()


async def an_api_key(
    sessions: Sessions, user_id: str, tenant_id: UUID = DEFAULT_TENANT_ID, **changes: Any
) -> str:
    """The secret of a new key of the user's, straight into the database."""
    key, now = secret(tokens.mint(tokens.API_KEY)), utc_now()
    fields: dict[str, Any] = {"scopes": ["read", "write"], "expires_at": now + timedelta(days=90)}
    async with sessions.begin(SYSTEM) as session:
        row = ApiKey(
            user_id=UUID(user_id),
            tenant_id=tenant_id,
            name="a key",
            hash=tokens.digest(key),
            prefix=key[:8],
            last_four=key[-4:],
            created_at=now,
            **(fields | changes),
        )
        session.add(row)
    return key


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
