"""Group E: whatever is sent, the answer is clear, quick and never a 5xx."""

import gzip
import json
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import psutil
import pytest

from maestro_ml.db.work import Sessions
from support.live import Cast, LiveServer, a_password, ok
from support.signin import a_registration, a_signin_server

INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE users--",
    "1)) UNION SELECT password_hash FROM users--",
    "name; SELECT pg_sleep(5)",
    "\\",
    "%27",
    "$where",
    '{"$gt":""}',
    "password_hash",
    "tenant_id",
    "%00",
    "\ufeff",
    "\u2028",
]
HOSTILE_JSON: dict[str, bytes] = {
    "deep arrays": b'{"name":' + b"[" * 100_000,
    "duplicate keys": b'{"email":"a@b.test","password":"x","role":"viewer","role":"admin"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": Infinity}',
    "1e400": b'{"name": "n", "complexity_score": 1e400}',
    "2^63": b'{"name": "n", "complexity_score": 9223372036854775808}',
    "400 digits": b'{"name": "n", "complexity_score": ' + b"9" * 400 + b"}",
    "5000 digits": b'{"name": "n", "complexity_score": ' + b"9" * 5000 + b"}",
    "lone surrogate": b'{"name": "\\ud800"}',
    "lone surrogate in a key": b'{"\\ud800": 1}',
    "NUL": b'{"name": "a\\u0000b"}',
    "BOM": b'\xef\xbb\xbf{"name": "n"}',
    "UTF-16": '{"name": "n"}'.encode("utf-16"),
    "UTF-16 without a BOM": '{"name": "n"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "n"}'.encode("utf-32-be"),
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "trailing comma": b'{"name": "n",}',
    "top-level array": b"[]",
    "top-level null": b"null",
    "top-level string": b'"x"',
    "empty": b"",
    "over-long name": json.dumps({"name": "x" * 5000}).encode(),
    "wrong types": b'{"name": {"a": 1}, "description": []}',
    "unknown field": b'{"name": "n", "nope": 1}',
    "deep metadata": b'{"name": "n", "metadata": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}",
}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())
@pytest.mark.parametrize("path", ["/projects", "/auth/register", "/auth/login", "/api-keys"])
def test_a_hostile_body_is_refused_in_words(cast: Cast, path: str, body: bytes) -> None:
    with cast.client("memberA") as member:
        answer = member.post(path, content=body, headers=JSON)
    assert 400 <= answer.status_code < 500, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    for word in ("Traceback", "sqlalchemy", "asyncpg", "site-packages", "pydantic"):
        assert word not in answer.text


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())
@pytest.mark.parametrize("path", ["experiments/create", "runs/log-batch", "runs/search"])
def test_the_mlflow_wire_refuses_it_in_its_own_words(cast: Cast, path: str, body: bytes) -> None:
    with cast.client("memberA") as member:
        answer = member.post(f"{cast.url}/api/2.0/mlflow/{path}", content=body, headers=JSON)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert {"error_code", "message"} <= set(answer.json())


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_parameter_is_only_ever_a_value(cast: Cast, text: str) -> None:
    with cast.client("memberA") as member:
        for name in ("q", "sort", "status", "slug", "cursor", "limit", "member"):
            answer = member.get("/projects", params={name: text})
            assert answer.status_code in {200, 422}, (name, answer.text)
        assert member.get(f"/projects/{httpx2.QueryParams({'x': text})}").status_code in {404, 422}
        for filter in (text, f"params.x = '{text}'", f"{text} = 1", f"metrics.`{text}` > 1"):
            search = {"experiment_ids": ["0"], "filter": filter}
            answer = member.post(f"{cast.url}/api/2.0/mlflow/runs/search", json=search)
            assert answer.status_code in {200, 400, 404}, (filter, answer.text)
            ordered = {"experiment_ids": ["0"], "order_by": [text]}
            answer = member.post(f"{cast.url}/api/2.0/mlflow/runs/search", json=ordered)
            assert answer.status_code in {200, 400, 404}, (filter, answer.text)


@pytest.mark.parametrize(
    "path",
    ["/projects/%00", "/projects/..%2f..%2fetc", "/projects/%ff%fe", "/projects/" + "x" * 3000],
)
def test_a_hostile_path_is_refused(cast: Cast, path: str) -> None:
    with cast.client("memberA") as member:
        assert member.get(path).status_code in {400, 404, 414, 422}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_only_json_is_json(cast: Cast, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    with cast.client("memberA") as member:
        answer = member.post("/projects", content=b'{"name": "by a form"}', headers=headers)
    assert answer.status_code in {415, 422}


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


def test_a_promised_length_is_not_believed(cast: Cast, live: LiveServer) -> None:
    token = cast["memberA"].token
    head = (
        "POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 1000000000000\r\n\r\nx"
    )
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as raw:
        raw.sendall(head.encode())
        assert b" 413 " in raw.recv(4096).split(b"\r\n")[0]


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


async def test_a_long_password_costs_no_hash(sessions: Sessions, tmp_path: Path) -> None:
    """In this process, where hashes can be counted."""
    async with a_signin_server(sessions, tmp_path) as server:
        made = await server.register()
        counted = server.identity.passwords.hashed
        for size in (129, 5000, 500_000):
            login = {"email": made["email"], "password": "x" * size}
            assert (await server.post("login", login)).status_code in {401, 422}
            new = a_registration(password="x" * size)
            assert (await server.post("register", new)).status_code == 422
        assert server.identity.passwords.hashed == counted
        await server.login(made)
        assert server.identity.passwords.hashed == counted + 1


def test_a_log_line_cannot_be_forged(cast: Cast, live: LiveServer) -> None:
    forged = 'x\r\n{"level":"info","event":"login_ok"}\x1b[31m\u2028'
    with cast.client() as nobody:
        nobody.get(f"/projects/{quote(forged)}")
        nobody.get("/projects", headers={"User-Agent": 'x"} {"event":"forged"}'})
        nobody.post("/auth/login", json={"email": forged, "password": a_password()})
        nobody.post(
            "/auth/register", json={"email": f"{forged}@x.test", "password": "x", "name": forged}
        )
    time.sleep(0.2)
    for line in live.logged.read_text().splitlines():
        assert json.loads(line)["event"] not in {"login_ok", "forged"}


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


def test_one_account_per_address_whatever_its_case(cast: Cast) -> None:
    body = {"email": "One.Person@case.test", "password": a_password(), "name": "N"}
    with cast.client() as nobody:
        ok(nobody.post("/auth/register", json=body))
        for same in ("one.person@case.test", "ONE.PERSON@CASE.TEST", " one.person@case.test "):
            assert nobody.post("/auth/register", json=body | {"email": same}).status_code in {
                409,
                422,
            }


def test_a_refused_body_is_not_told_back(cast: Cast) -> None:
    secret = a_password()
    with cast.client() as nobody:
        answer = nobody.post("/auth/register", json={"email": "a", "password": secret})
    assert answer.status_code == 422
    assert secret not in answer.text
    assert ["body", "name"] in [fault["at"] for fault in answer.json()["faults"]]


def test_text_comes_back_as_text(cast: Cast) -> None:
    marks = ["<img src=x onerror=window.__p=1>", "</script><script>", "{{7*7}}", "🙂 ünï", "a\tb"]
    with cast.client("memberA") as member:
        for mark in marks:
            made = ok(
                member.post(
                    "/projects", json={"name": f"{mark} {a_password()}", "description": mark}
                )
            )
            assert made["description"] == mark
            got = member.get(f"/projects/{made['id']}")
            assert got.headers["content-type"].startswith("application/json")
            assert got.headers["x-content-type-options"] == "nosniff"
            assert got.headers["cache-control"] == "no-store"
