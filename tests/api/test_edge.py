"""The edge of the server: what every answer carries, whoever asked and however it went."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select

from maestro_ml.api.main import create_app
from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database, Server
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from support.databases import REDIS
from support.live import a_password

ALWAYS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
PROXY = {"X-Forwarded-For": "203.0.113.7, 10.1.1.1"}


@asynccontextmanager
async def running(
    database: str, folder: Path, **options: Any
) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    settings = Settings(data=folder / "data", database=Database(url=SecretStr(database)), **options)
    settings.data.mkdir(mode=0o700, exist_ok=True)
    app = create_app(settings, greet=False)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http,
    ):
        yield app, http


@pytest.fixture
async def server(
    database: str, tmp_path: Path
) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient]]:
    async with running(database, tmp_path) as pair:
        yield pair


Pair = tuple[FastAPI, httpx2.AsyncClient]


@pytest.mark.rows(75)
async def test_every_answer_carries_the_headers_and_an_id(server: Pair) -> None:
    app, http = server

    async def breaks(_: object) -> None:
        raise RuntimeError("secret words of ours")

    for method, path, status in (
        ("GET", "/health", 200),
        ("GET", "/api/v1/projects", 401),
        ("POST", "/api/v1/auth/register/", 401),
        ("DELETE", "/health", 405),
        ("TRACE", "/health", 405),
        ("POST", "/api/v1/auth/login", 422),
        ("GET", "/api/v1/users", 500),
    ):
        if status == 500:
            app.state.runtime = replace(app.state.runtime, authenticate=breaks)
        answer = await http.request(method, path, headers={"X-Request-ID": "mine"})
        assert answer.status_code == status, path
        assert ALWAYS.items() <= dict(answer.headers).items()
        assert answer.headers["x-request-id"] == "mine"
        assert "server" not in answer.headers
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert (problem["status"], problem["request_id"]) == (status, "mine")
            assert "secret words" not in answer.text


@pytest.mark.parametrize("id", ["a b", "x" * 65, "a\tb", "", "é"])
async def test_an_id_that_could_do_harm_is_replaced(server: Pair, id: str) -> None:
    _, http = server
    answer = await http.get("/health", headers={b"X-Request-ID": id.encode()})
    assert answer.headers["x-request-id"] != id
    assert len(answer.headers["x-request-id"]) == 32


async def test_a_broken_request_is_in_the_log_with_its_trace(
    capsys: pytest.CaptureFixture[str], database: str, tmp_path: Path
) -> None:
    async with running(database, tmp_path) as (app, http):

        async def breaks(_: object) -> None:
            raise RuntimeError("a bug")

        app.state.runtime = replace(app.state.runtime, authenticate=breaks)
        answer = await http.get("/api/v1/projects", headers={"X-Request-ID": "broken1"})
    assert answer.status_code == 500
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (bug,) = [line for line in found if line["event"] == "http.broken"]
    assert bug["request_id"] == "broken1"
    assert "RuntimeError: a bug" in bug["exception"]


async def test_anonymous_callers_learn_nothing_of_a_body(server: Pair) -> None:
    """Who calls is asked before a byte of the body is read."""
    _, http = server
    for body in (b"{", b"x" * 2**21, b'{"name": "n"}'):
        answer = await http.post("/api/v1/projects", content=body)
        assert (answer.status_code, answer.json()["detail"]) == (401, "Not authenticated")


async def test_ready_names_what_it_depends_on(database: str, tmp_path: Path) -> None:
    async with running(database, tmp_path, redis={"url": REDIS}) as (app, http):
        ready = await http.get("/health/ready")
        assert ready.status_code == 200
        found = ready.json()["dependencies"]
        assert set(found) == {"database", "storage", "redis"}
        assert all(one["ok"] and one["ms"] >= 0 for one in found.values())
    async with running(database, tmp_path, redis={"url": "redis://127.0.0.1:1/0"}) as (
        app,
        http,
    ):
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["dependencies"]["redis"]["ok"]) == (200, False)
        app.state.blobs = _Away()
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")


class _Away:
    async def check(self) -> None:
        raise TimeoutError


async def test_metrics_are_for_whoever_has_their_token(database: str, tmp_path: Path) -> None:
    token = a_password()
    server = Server(metrics_token=SecretStr(token))
    async with running(database, tmp_path, server=server) as (_, http):
        assert (await http.get("/metrics")).status_code == 401
        wrong = await http.get("/metrics", headers={"Authorization": f"Bearer {a_password()}"})
        assert wrong.status_code == 401
        await http.get("/api/v1/projects/one-that-is-not-there")
        shown = await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert shown.status_code == 200
        assert "maestro_http_requests_total" in shown.text
        assert "one-that-is-not-there" not in shown.text
        await http.post("/api/v1/auth/login", json={})
        shown = await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert 'route="/api/v1/auth/login"' in shown.text


async def test_without_a_token_nobody_sees_metrics(server: Pair) -> None:
    _, http = server
    for sent in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        assert (await http.get("/metrics", headers=sent)).status_code == 401


async def test_docs_may_be_closed(database: str, tmp_path: Path) -> None:
    async with running(database, tmp_path, server=Server(docs_public=False)) as (_, http):
        for path in ("/docs", "/openapi.json"):
            assert (await http.get(path)).status_code == 401
        assert "For whoever is signed in." in (await http.get("/")).text


async def test_the_docs_page_needs_no_script_and_names_every_route(server: Pair) -> None:
    _, http = server
    page = await http.get("/docs")
    assert "<script" not in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    for path in (await http.get("/openapi.json")).json()["paths"]:
        assert f"<code>{path}</code>" in page.text


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [([], "127.0.0.1"), (["127.0.0.1"], "10.1.1.1"), (["127.0.0.0/8", "10.1.1.1"], "203.0.113.7")],
)
async def test_only_a_trusted_proxy_says_where_a_caller_is(
    database: str, tmp_path: Path, sessions: Sessions, trusted: list[str], seen: str
) -> None:
    options = {"server": Server(trusted_proxies=trusted), "auth": {"registration": "open"}}
    async with running(database, tmp_path, **options) as (_, http):
        body = {"email": "who@someone.test", "password": a_password(), "name": "W"}
        answer = await http.post("/api/v1/auth/register", json=body, headers=PROXY)
        assert answer.status_code == 201
    async with sessions.begin(SYSTEM, read_only=True) as session:
        events = await session.scalars(
            select(AuditEvent).where(AuditEvent.action == "session.started")
        )
        event = events.one()
    assert event.ip == seen
    assert event.request_id == answer.headers["x-request-id"]
