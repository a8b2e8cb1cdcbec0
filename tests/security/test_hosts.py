"""A page whose name was made to point at this machine does not reach the server on it."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from maestro_ml.core.hosts import is_loopback
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Server
from maestro_ml.http.hosts import own_origins
from support.live import Cast, LiveServer

PUBLIC = "https://maestro.example.com/ml"
HERE, ELSEWHERE = ("127.0.0.1", 8000), ("192.0.2.7", 8000)


def raw(server: LiveServer, request: str) -> tuple[int, bytes]:
    """What comes back for these very bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(request.encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer or b"}" not in answer:
            got = sock.recv(65536)
            if not got:
                break
            answer += got
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "0.0.0.0", "2130706433"]
)
def test_another_name_is_not_answered(cast: Cast, live: LiveServer, host: str) -> None:
    body = {"email": cast["memberA"].email, "password": cast["memberA"].password}
    for path in ("/health", "/api/v1/auth/login", "/api/2.0/mlflow/runs/search", "/nowhere"):
        answer = httpx2.post(f"{live.url}{path}", json=body, headers={"Host": f"{host}:80"})
        assert answer.status_code == 421, path
        assert host in answer.text
        assert "access_token" not in answer.text
    problem = httpx2.get(f"{live.url}/health", headers={"Host": host}).json()
    assert problem["type"] == "/problems/misdirected-request"
    assert "MAESTRO_SERVER__PUBLIC_URL" in problem["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost.:9", "127.0.0.1", "127.9.9.9:1", "[::1]:8000", "[0:0::1]"]
)
def test_this_machines_names_are_answered(live: LiveServer, host: str) -> None:
    assert httpx2.get(f"{live.url}/health", headers={"Host": host}).status_code == 200


def test_a_request_names_one_host(live: LiveServer) -> None:
    for head, status in (
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.0\r\nHost: localhost\r\nHost: evil.test\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost@evil.test\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: [1]\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: caf\xe9.test\r\n\r\n", 400),
        ("GET http://localhost/health HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421),
        ("GET /health HTTP/1.0\r\n\r\n", 200),
    ):
        got, answer = raw(live, head)
        assert got == status, (head, answer)
        if status == 400:
            assert b"application/problem+json" in answer


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that a proxy on the same machine stands before."""
    env = {
        "MAESTRO_SERVER__PUBLIC_URL": PUBLIC,
        "MAESTRO_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    }
    with LiveServer(tmp_path_factory.mktemp("proxied") / "data", env) as server:
        yield server


def test_behind_a_proxy_the_public_name_is_answered(proxied: LiveServer) -> None:
    for host, status in (
        ("maestro.example.com", 200),
        ("Maestro.Example.com:443", 200),
        ("localhost", 200),
        ("evil.test", 421),
        ("maestro.example.com.evil.test", 421),
    ):
        got = httpx2.get(f"{proxied.url}/health", headers={"Host": host})
        assert got.status_code == status, host


def a_request(host: str, reached: tuple[str, int], scheme: str = "http") -> Request:
    headers = [(b"host", host.encode())]
    scope: dict[str, Any] = {"type": "http", "scheme": scheme, "server": reached, "path": "/"}
    return Request(scope | {"headers": headers, "query_string": b"", "method": "POST"})


@pytest.mark.parametrize(
    ("host", "reached", "public", "own"),
    [
        ("localhost:8000", HERE, None, {"http://localhost:8000"}),
        ("maestro.lan:8000", ELSEWHERE, None, {"http://maestro.lan:8000"}),
        ("evil.test", ELSEWHERE, PUBLIC, {"https://maestro.example.com"}),
        ("localhost", ELSEWHERE, PUBLIC, {"https://maestro.example.com"}),
        ("maestro.example.com", HERE, PUBLIC, {"https://maestro.example.com"}),
        ("localhost", HERE, PUBLIC, {"https://maestro.example.com", "http://localhost"}),
    ],
)
def test_our_own_pages_are_those_of_the_public_address(
    host: str, reached: tuple[str, int], public: str | None, own: set[str]
) -> None:
    settings = Settings(server=Server(public_url=public))
    assert own_origins(a_request(host, reached), settings) == own


def test_a_mapped_address_is_this_machine_too() -> None:
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:192.0.2.1")


def test_head_is_answered_like_get_without_its_body(cast: Cast, live: LiveServer) -> None:
    with cast.client("memberA") as member:
        for path in ("/projects", "/auth/me", "/projects/nothing", f"{live.url}/health"):
            got, head = member.get(path), member.head(path)
            assert head.status_code == got.status_code, path
            assert head.content == b""
            assert head.headers["content-length"] == str(len(got.content))
            assert head.headers["content-type"] == got.headers["content-type"]
        assert member.head("/auth/login").status_code == 405
    with cast.client() as nobody:
        assert nobody.head("/projects").status_code == 401
    status, answer = raw(
        live, "HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert (status, answer.endswith(b"\r\n\r\n")) == (200, True)
