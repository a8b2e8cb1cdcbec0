"""Dev mode: every example of the specification word for word, on loopback, and its data apart."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from maestro_ml.cli.codes import Exit
from support.databases import PostgresDatabases, SqliteDatabases
from support.live import LiveServer
from support.starts import is_one_sentence, refused

DEV = ("--dev", "--no-reload")
ADMIN = {"email": "admin@maestro.ml", "password": "admin123"}
REGISTER = {
    "email": "test@example.com",
    "password": "secure123",
    "name": "Test User",
    "role": "viewer",
}


@pytest.fixture(scope="module")
async def env(databases: PostgresDatabases | SqliteDatabases) -> AsyncIterator[dict[str, str]]:
    async with databases.empty() as url:
        yield {"MAESTRO_DATABASE__URL": url}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dev") / "data"


def test_the_specifications_examples_run_word_for_word(env: dict[str, str], data: Path) -> None:
    with LiveServer(data, env, *DEV) as server, httpx2.Client(base_url=server.url) as http:
        printed = server.printed.read_text()
        assert all(words in printed for words in ADMIN.values())
        assert http.get("/health").status_code == 200
        assert http.get("/api/v1/auth/health").status_code == 200
        registered = http.post("/api/v1/auth/register", json=REGISTER)
        assert registered.status_code == 201
        assert registered.headers["x-maestro-mode"] == "dev"
        assert set(registered.json()) == {
            *("access_token", "refresh_token", "token_type", "expires_in", "user"),
        }
        assert registered.json()["user"]["role"] == "viewer"
        for email, password in (
            ("test@test.com", "test123"),
            ("user@example.com", "pass123"),
            ("test2@example.com", "password123"),
        ):
            body = {"email": email, "password": password, "name": "N"}
            assert http.post("/api/v1/auth/register", json=body).status_code == 201
        nameless = {"email": "nameless@example.com", "password": "secure123"}
        assert http.post("/api/v1/auth/register", json=nameless).status_code == 422

        admin = http.post("/api/v1/auth/login", json=ADMIN)
        assert (admin.status_code, admin.json()["user"]["role"]) == (200, "admin")
        signed_in = http.post(
            "/api/v1/auth/login", json={"email": "test@example.com", "password": "secure123"}
        )
        assert signed_in.status_code == 200
        wrong = {"email": "test@example.com", "password": "wrong"}
        assert http.post("/api/v1/auth/login", json=wrong).status_code == 401
        pair = signed_in.json()
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        me = http.get("/api/v1/auth/me", headers=bearer).json()
        assert {"id", "email", "name", "role", "tenant"} <= set(me)
        assert me["last_login_at"] is not None
        anonymous = http.get("/api/v1/projects")
        assert (anonymous.status_code, anonymous.headers["www-authenticate"]) == (401, "Bearer")
        assert anonymous.json()["detail"] == "Not authenticated"
        assert http.get("/api/v1/projects", headers=bearer).status_code == 200
        for path in ("models", "experiments", "automl/jobs", "users"):
            assert http.get(f"/api/v1/{path}").status_code == 401
        assert http.get("/api/v1/users", headers=bearer).status_code == 403
        new = http.post("/api/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        assert new.status_code == 200
        assert (
            http.post("/api/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        ).status_code == 401
        again = http.post(
            "/api/v1/auth/login", json={"email": "test@example.com", "password": "secure123"}
        ).json()
        bearer = {"Authorization": f"Bearer {again['access_token']}"}
        assert http.post("/api/v1/auth/logout", headers=bearer).status_code in {200, 204}
        assert http.get("/api/v1/auth/me", headers=bearer).status_code == 401
        for path in ("/docs", "/openapi.json"):
            assert http.get(path).status_code == 200


def test_dev_data_never_opens_in_normal_mode(env: dict[str, str], data: Path) -> None:
    with LiveServer(data, env, *DEV):
        pass
    code, words = refused("--port", "0", "--data", str(data), **env)
    assert (code, is_one_sentence(words)) == (Exit.MODE, True), words


def test_normal_data_never_opens_in_dev_mode(
    databases: PostgresDatabases | SqliteDatabases, tmp_path: Path
) -> None:
    with LiveServer(tmp_path / "data") as server, httpx2.Client(base_url=server.url) as http:
        assert "x-maestro-mode" not in http.get("/health").headers
        assert http.post("/api/v1/auth/login", json=ADMIN).status_code == 401
        weak = http.post("/api/v1/auth/register", json=REGISTER)
        assert weak.status_code == 422
        assert "15 characters" in weak.json()["detail"]
        good = REGISTER | {"password": "lamp tunnel ocean violin"}
        assert http.post("/api/v1/auth/register", json=good).status_code == 201
    code, words = refused(*DEV, "--port", "0", "--data", str(tmp_path / "data"))
    assert (code, is_one_sentence(words)) == (Exit.MODE, True), words


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4"])
def test_dev_mode_listens_on_loopback_only(host: str, tmp_path: Path) -> None:
    code, words = refused(*DEV, "--host", host, "--port", "0", "--data", str(tmp_path / "data"))
    assert code == Exit.SETTING
    assert host in words
    assert not (tmp_path / "data").exists()
