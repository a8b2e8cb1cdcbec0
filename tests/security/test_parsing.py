"""Rows 66, 68 and 69: sizes, forged log lines, and text that stays text; and addresses."""

import asyncio
import gzip
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import psutil
import pytest
from fastapi import FastAPI

from maestro_ml.core.settings import Settings
from maestro_ml.http import entry, middleware, problems
from maestro_ml.http.metrics import Metrics
from support.live import Cast, LiveServer, a_password, ok

JSON = {"Content-Type": "application/json"}


@pytest.mark.rows(66)
def test_a_body_over_the_limit_is_refused_early(cast: Cast, live: LiveServer) -> None:
    assert live.process is not None
    process = psutil.Process(live.process.pid)
    before = process.memory_info().rss

    def chunks() -> Any:
        for _ in range(50):
            yield b"x" * 2**20

    with cast.client("memberA") as member:
        two = member.post("/projects", content=b'"' + b"x" * 2**21 + b'"', headers=JSON)
        assert two.status_code == 413
        with suppress(httpx2.TransportError):  # it may be refused before all of it was sent
            assert member.post("/projects", content=chunks(), headers=JSON).status_code == 413
        bomb = gzip.compress(b" " * 2**24)
        zipped = member.post("/projects", content=bomb, headers=JSON | {"Content-Encoding": "gzip"})
        assert zipped.status_code == 415
    assert process.memory_info().rss - before < 30 * 2**20


@pytest.mark.rows(66)
def test_a_promised_length_is_not_believed(cast: Cast, live: LiveServer) -> None:
    token = cast["memberA"].token
    head = (
        "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 1000000000000\r\n\r\nx"
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as raw:
        raw.sendall(head.encode())
        assert b" 413 " in raw.recv(4096).split(b"\r\n")[0]


@pytest.mark.rows(10)
def test_a_long_password_is_refused(cast: Cast) -> None:
    person = cast["viewerA"]
    with cast.client() as nobody:
        for size in (200, 5000, 500_000):
            body = {"email": person.email, "password": "x" * size}
            assert nobody.post("/auth/login", json=body).status_code in {401, 422}
            body = {"email": "long@someone.test", "password": "x" * size, "name": "N"}
            assert nobody.post("/auth/register", json=body).status_code == 422
        body = {"email": person.email, "password": "x" * 2**21}
        assert nobody.post("/auth/login", json=body).status_code == 413


@pytest.mark.rows(68)
def test_a_log_line_cannot_be_forged(cast: Cast, live: LiveServer) -> None:
    """By a path, a header, a name, an address or a key of JSON, on a route that knows the caller
    and on one that does not."""
    forged = 'x\r\n{"level":"info","event":"login_ok"}\x1b[31m\u2028\u202e\x00'
    line = 'x"} {"event":"login_ok"}'
    before = live.logged.stat().st_size
    with cast.client() as nobody, cast.client("adminA") as admin:
        for client in (nobody, admin):
            client.get(f"/projects/{quote(forged)}")
            client.get(f"/projects/{quote(forged)}", headers={"User-Agent": line})
            for name in ("User-Agent", "X-Request-ID", "X-Forwarded-For", "Referer", "X-Client"):
                client.get("/auth/health", headers={name: line})
            for body in (
                {"email": forged, "password": a_password()},
                {"email": f"{forged}@x.test", "password": "x", "name": forged},
                {forged: forged},
                {"name": "x" * 900_000 + forged},
            ):
                for path in ("/auth/login", "/auth/register", "/projects", "/service-accounts"):
                    assert client.post(path, json=body).status_code < 500
        assert nobody.get(f"/projects/{'x' * 60_000}").status_code == 401
    for byte in (
        b"\x1b[31m",
        b"\x00",
        b"\x85",
        b"\xe2\x80\xa8",
    ):  # what honest clients refuse to send
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as raw:
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
            raw.sendall(b"User-Agent: " + line.encode() + byte + b"\r\n\r\n")
            assert raw.recv(4096).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    time.sleep(0.2)
    with live.logged.open("rb") as log:
        log.seek(before)
        said = log.read()
    assert len(said) < 200_000  # a megabyte that was sent is none in the log
    lines = said.decode("ascii").splitlines()
    assert len(lines) > 20
    for told in map(json.loads, lines):
        assert told["event"] != "login_ok"
    assert not set(range(32)) - {10} & set(said)


@pytest.mark.rows(66)
async def test_a_body_that_drips_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where nobody waits half a minute for it."""
    monkeypatch.setattr(entry, "BODY_PATIENCE", 0.2)
    settings = Settings(data=Path("never-opened"))
    app = FastAPI()
    problems.install(app, {})
    app.add_middleware(entry.Entry, public=frozenset({"/anywhere"}))
    app.add_middleware(middleware.Edge, settings=settings, metrics=Metrics())

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        answer = await http.post("/anywhere", content=drips(), headers=JSON)
    assert answer.status_code == 408
    assert answer.json()["type"] == "/problems/body-too-slow"


@pytest.mark.rows(66)
def test_a_form_of_ten_thousand_parts_is_not_read(cast: Cast, live: LiveServer) -> None:
    assert live.process is not None
    process = psutil.Process(live.process.pid)
    before = process.memory_info().rss
    part = b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\nv\r\n'
    headers = b"--x\r\n" + b"A: b\r\n" * 100_000
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with cast.client("memberA") as member:
        for path in ("/projects", "/api-keys", "/auth/login"):
            for body in (part * 10_000 + b"--x--", headers + b"\r\nv\r\n--x--"):
                answer = member.post(path, content=body, headers=kind)
                assert answer.status_code in {400, 413, 415, 422}
    assert process.memory_info().rss - before < 30 * 2**20


@pytest.mark.rows(11)
@pytest.mark.parametrize(
    "email",
    [
        "a@b@c",
        '"<script>"@x.y',
        "x@y.test\r\nBcc: all@x.test",
        "no-at",
        "@x.test",
        "x@",
        "x" * 300 + "@x.test",
    ],
)
def test_a_bad_address_is_refused(cast: Cast, email: str) -> None:
    with cast.client() as nobody:
        body = {"email": email, "password": a_password(), "name": "N"}
        assert nobody.post("/auth/register", json=body).status_code == 422


def test_a_refused_body_is_not_told_back(cast: Cast) -> None:
    secret = a_password()
    with cast.client() as nobody:
        answer = nobody.post("/auth/register", json={"email": "a", "password": secret})
    assert answer.status_code == 422
    assert secret not in answer.text
    assert ["body", "name"] in [fault["at"] for fault in answer.json()["faults"]]


@pytest.mark.rows(69)
def test_text_comes_back_as_text(cast: Cast) -> None:
    marks = [
        *("<img src=x onerror=window.__p=1>", "<svg onload=window.__p=1>", "</script><script>"),
        *("javascript:window.__p=1", "[x](javascript:window.__p=1)", "{{7*7}}", "{{constructor}}"),
        *("🙂 ünï", "a\tb"),
    ]
    with cast.client("memberA") as member:
        for mark in marks:
            name = f"{mark if mark.isprintable() else 'tab'} {secrets.token_hex(8)}"
            made = ok(member.post("/projects", json={"name": name, "description": mark}))
            assert made["description"] == mark
            got = member.get(f"/projects/{made['id']}")
            assert got.headers["content-type"].startswith("application/json")
            assert got.headers["x-content-type-options"] == "nosniff"
            assert got.headers["cache-control"] == "no-store"
