"""Group B: only one good bearer header is somebody."""

import base64
import socket
from typing import Any

import httpx2
import pytest

from maestro_ml.core.ids import new_id
from support.live import Cast, LiveServer
from support.policy import POLICY, PUBLIC, operations
from support.proof import scale
from support.sources import FromEverywhere

BIG = 100_000


def status_of(cast: Cast, headers: Any) -> int:
    with cast.client() as nobody:
        answer = nobody.get("/auth/me", headers=headers)
    if answer.status_code == 401:
        assert answer.json()["detail"] == "Not authenticated"
    return answer.status_code


def basic(name: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def shapes(cast: Cast) -> list[dict[str, Any]]:
    """Of a request that is nobody's, though it holds a good token or password somewhere."""
    admin = cast["adminA"]
    good = admin.token
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return [
        {},
        *({"headers": {"Authorization": text}} for text in ("", "Bearer", "Bearer x", "Digest x")),
        *({"headers": {"Authorization": text}} for text in ("Bearer a.b.c", f"Token {good}")),
        {"headers": basic(admin.email, admin.password)},
        {"headers": basic(good, "")},
        {"headers": [("Authorization", f"Bearer {good}")] * 2},
        {"headers": [("Authorization", f"Bearer {good}"), ("Authorization", "Bearer x")]},
        {"headers": {"Authorization": f"Bearer {good} {good}"}},
        {"headers": {"Authorization": f"Bearer {'x' * BIG}"}},
        {"headers": {"Authorization": b"Bearer \xff\xfe"}},
        {"headers": {"Authorization": f"Bearer {good}\u00e4".encode()}},
        {"params": {"access_token": good}},
        {"params": {"token": good}},
        {"content": f"access_token={good}".encode(), "headers": form},
        {"headers": {"Cookie": f"access_token={good}"}},
        {"headers": {"Cookie": f"__Host-session={good}"}},
        {"headers": {"X-User-Id": admin.id, "X-Forwarded-User": admin.email}},
    ]


@pytest.mark.rows(22)
def test_no_route_takes_what_is_no_credential(cast: Cast) -> None:
    """In CI each route is tried with some of them, and each of them on some routes."""
    wrong = shapes(cast)
    each = scale(4, len(wrong))
    asked = 0
    with httpx2.Client(base_url=cast.url, timeout=30, transport=FromEverywhere(50)) as http:
        for number, operation in enumerate(operations()):
            if POLICY[operation.name] == PUBLIC:
                continue
            words = operation.path.split("/")
            path = "/".join(str(new_id()) if word.startswith("{") else word for word in words)
            for n in range(each):
                request = wrong[(number * each + n) % len(wrong)]
                answer = http.request(operation.method, path, **request)
                too_big = str(request).count("x") >= BIG
                allowed = {400, 401, 431} if too_big else {401}
                assert answer.status_code in allowed, (operation, request, answer.text)
                asked += 1
    assert asked > 400


@pytest.mark.rows(22)
def test_the_scheme_is_case_insensitive(cast: Cast) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert status_of(cast, {"Authorization": f"{scheme} {cast['adminA'].token}"}) == 200


@pytest.mark.rows(22)
@pytest.mark.parametrize("junk", [b"\x0b", b"\x00", b"\xff", b"\r\n "], ids=repr)
def test_a_token_with_junk_behind_it_is_refused(cast: Cast, live: LiveServer, junk: bytes) -> None:
    """By hand: no client sends such a header."""
    head = "GET /api/v1/auth/me HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {cast['adminA'].token}"
    with socket.create_connection(("127.0.0.1", live.port), timeout=20) as raw:
        raw.sendall(head.encode() + junk + b"x\r\nConnection: close\r\n\r\n")
        status = raw.recv(4096).split(b" ")[1]
    assert status in {b"400", b"401"}
