"""The specification's ten scenarios, by its names and in its order, on a live server."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer, a_password

PASSWORD, WRONG = a_password(), a_password()


@pytest.fixture(scope="module")
async def server(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    async with databases.empty() as url:
        data = tmp_path_factory.mktemp("flow") / "data"
        with LiveServer(data, {"MAESTRO_DATABASE__URL": url}) as live:
            yield live.url


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
