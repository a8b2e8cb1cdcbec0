"""The specification's ten scenarios, by its names and in its order, on a live server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from maestro_ml.core.settings import Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from maestro_ml.identity.runtime import Identity
from maestro_ml.projects.routes import router as projects
from support.databases import PostgresDatabases, SqliteDatabases
from support.served import served
from support.signin import API, a_password, signin_app

PASSWORD, WRONG = a_password(), a_password()


def a_whole_app(url: str, folder: Path) -> FastAPI:
    """Sign-in, projects and a health check over a database; it opens all when it is served."""
    settings = Settings(data=folder)
    engines = make_engines(url)
    sessions = Sessions(engines)
    identity = Identity.build(settings, sessions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await identity.start()
        yield
        await identity.stop()
        await engines.dispose()

    app = signin_app(settings, sessions, identity, lifespan=lifespan)
    app.include_router(projects, prefix=API)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


@pytest.fixture(scope="module")
async def server(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    async with databases.copy() as url:
        with served(a_whole_app(url, tmp_path_factory.mktemp("flow"))) as address:
            yield address


@pytest.fixture(scope="module")
def api(server: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def held(server: str) -> dict[str, str]:
    """The tokens that one scenario leaves to the next."""
    return {}


def bearer(held: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {held['access_token']}"}


def keep(held: dict[str, str], answer: httpx2.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    held |= {name: body[name] for name in ("access_token", "refresh_token")}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    return body


def test_health_check(api: httpx2.Client) -> None:
    assert api.get("/health").status_code == 200
    assert api.get("/api/v1/auth/health").status_code == 200


def test_register_new_user(api: httpx2.Client, held: dict[str, str]) -> None:
    body = {"email": "test@example.com", "password": PASSWORD, "name": "Test User"}
    answer = api.post("/api/v1/auth/register", json=body | {"role": "viewer"})
    assert answer.status_code == 201
    user = keep(held, answer)["user"]
    assert (user["email"], user["name"], user["role"]) == (body["email"], "Test User", "viewer")


def test_login_with_credentials(api: httpx2.Client, held: dict[str, str]) -> None:
    body = {"email": "test@example.com", "password": PASSWORD}
    answer = api.post("/api/v1/auth/login", json=body)
    assert answer.status_code == 200
    assert keep(held, answer)["user"]["last_login_at"] is not None


def test_get_current_user(api: httpx2.Client, held: dict[str, str]) -> None:
    answer = api.get("/api/v1/auth/me", headers=bearer(held))
    assert answer.status_code == 200
    me = answer.json()
    assert {"id", "email", "name", "role", "tenant"} <= set(me)
    assert (me["email"], me["role"]) == ("test@example.com", "viewer")


def test_protected_route_without_auth(api: httpx2.Client) -> None:
    answer = api.get("/api/v1/projects")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"] == "Not authenticated"


def test_protected_route_with_auth(api: httpx2.Client, held: dict[str, str]) -> None:
    answer = api.get("/api/v1/projects", headers=bearer(held))
    assert answer.status_code == 200
    assert answer.json()["items"] == []


def test_refresh_token(api: httpx2.Client, held: dict[str, str]) -> None:
    old = {"refresh_token": held["refresh_token"]}
    answer = api.post("/api/v1/auth/refresh", json=old)
    assert answer.status_code == 200
    keep(held, answer)
    assert held["refresh_token"] != old["refresh_token"]
    assert api.get("/api/v1/auth/me", headers=bearer(held)).status_code == 200


def test_login_with_wrong_password(api: httpx2.Client) -> None:
    body = {"email": "test@example.com", "password": WRONG}
    assert api.post("/api/v1/auth/login", json=body).status_code == 401


def test_logout(api: httpx2.Client, held: dict[str, str]) -> None:
    assert api.post("/api/v1/auth/logout", headers=bearer(held)).status_code in {200, 204}


def test_access_with_revoked_token(api: httpx2.Client, held: dict[str, str]) -> None:
    for path in ("/api/v1/auth/me", "/api/v1/projects"):
        answer = api.get(path, headers=bearer(held))
        assert answer.status_code == 401
        assert answer.json()["detail"] == "Not authenticated"
    refresh = {"refresh_token": held["refresh_token"]}
    assert api.post("/api/v1/auth/refresh", json=refresh).status_code == 401
