"""Nobody holds the server by being slow, endless or many."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import psutil
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from maestro_ml.api.protocol import Protocol
from maestro_ml.http.hosts import MAX_HEAD, MOST_HEADERS
from support.live import Cast, LiveServer
from support.served import served

START = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


def connected(server: LiveServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def everything(sock: socket.socket) -> bytes:
    """What comes until the other end hangs up."""
    answer = b""
    with suppress(ConnectionResetError):
        while got := sock.recv(65536):
            answer += got
    return answer


def test_a_head_without_end_is_refused_and_costs_no_memory(live: LiveServer) -> None:
    assert live.process is not None
    process = psutil.Process(live.process.pid)
    before = process.memory_info().rss
    for start in (START + b"X-A: ", b"GET /", START + b"X-A", b"GET /health?"):
        with connected(live) as sock:
            with suppress(ConnectionError):
                sock.sendall(start)
                for _ in range(40):
                    sock.sendall(b"a" * 2**20)
            answer = everything(sock)
        assert not answer or b" 431 " in answer.split(b"\r\n")[0], answer[:200]
    assert process.memory_info().rss - before < 30 * 2**20


def test_a_large_head_is_refused_in_words(live: LiveServer) -> None:
    for headers, status in (
        ({"X-A": "a" * (MAX_HEAD - 1000)}, 200),
        ({"X-A": "a" * (MAX_HEAD + 1)}, 431),
        ({f"X-{n}": "a" for n in range(MOST_HEADERS - 20)}, 200),
        ({f"X-{n}": "a" for n in range(MOST_HEADERS + 1)}, 431),
    ):
        answer = httpx2.get(f"{live.url}/health", headers=headers)
        assert answer.status_code == status
        if status == 431:
            assert answer.json()["type"] == "/problems/head-too-large"
            assert str(MAX_HEAD) in answer.json()["detail"]
    assert httpx2.get(f"{live.url}/health", params={"q": "a" * 60_000}).status_code == 200


def test_headers_behind_a_body_are_nobodys(cast: Cast, live: LiveServer) -> None:
    """They would come after every check of the head."""
    chunked = "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    chunked += "Content-Type: application/json\r\nConnection: close\r\n"
    token = f"Authorization: Bearer {cast['memberA'].token}\r\n"
    body = "f\r\n" + '{"name": "late"}'[:15] + "\r\n1\r\n}\r\n0\r\n"
    for head, trailer, status in (
        (chunked, token, b" 401 "),
        (chunked + token, "Authorization: Bearer other\r\n", b" 201 "),
    ):
        with connected(live) as sock:
            sock.sendall(f"{head}\r\n{body}{trailer}\r\n".encode())
            assert status in everything(sock).split(b"\r\n")[0]


def test_trailers_without_end_are_refused(cast: Cast, live: LiveServer) -> None:
    head = "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    head += f"Authorization: Bearer {cast['memberA'].token}\r\n\r\n1\r\n{{\r\n0\r\nX-A: "
    with connected(live) as sock:
        sock.sendall(head.encode())
        with pytest.raises(ConnectionError):
            for _ in range(200):
                sock.sendall(b"a" * 2**17)
                time.sleep(0.01)
    assert httpx2.get(f"{live.url}/health").status_code == 200


@pytest.mark.parametrize(
    "words", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"G@T / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_refused_as_a_problem(live: LiveServer, words: bytes) -> None:
    with connected(live) as sock:
        sock.sendall(words)
        head, _, body = everything(sock).partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    assert b"content-type: application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"/problems/bad-request" in body


def test_whoever_is_slow_with_a_head_is_hung_up_on(live: LiveServer) -> None:
    """By a clock that no further byte sets back."""
    whole = START + b"\r\n"
    starts = {
        "nothing": b"",
        "half a head": START + b"X-",
        "empty lines": b"\r\n",
        "half a second head": whole + START,
        "empty lines after an answer": whole + b"\r\n",
        "a body that is not wanted": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 1000000\r\n\r\n",
    }
    with ExitStack() as open_sockets:
        socks = {name: open_sockets.enter_context(connected(live)) for name in starts}
        for name, sock in socks.items():
            sock.sendall(starts[name])
        still = set(starts)
        deadline = time.monotonic() + 30
        while still and time.monotonic() < deadline:
            time.sleep(0.5)
            for name in list(still):
                drip = b"\r\n" if "lines" in name else b"a"
                if name == "nothing":
                    drip = b""
                socks[name].setblocking(False)
                try:
                    socks[name].send(drip)
                    if socks[name].recv(65536) == b"":
                        still.remove(name)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    still.remove(name)
    assert not still


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that may have few files."""
    with LiveServer(tmp_path / "data") as server:
        assert server.process is not None
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (200, 200))
        yield server


def test_many_connections_keep_nobody_out(narrow: LiveServer) -> None:
    with ExitStack() as open_sockets:
        for _ in range(400):
            sock = open_sockets.enter_context(connected(narrow))
            sock.sendall(START + b"X-")
        for _ in range(5):
            assert httpx2.get(f"{narrow.url}/health/ready", timeout=20).status_code == 200
        assert narrow.process is not None
        assert len(psutil.Process(narrow.process.pid).net_connections()) < 150
    assert "Traceback" not in narrow.logged.read_text()


class Impatient(Protocol):
    read_patience = 0.3


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    app = FastAPI()

    @app.get("/many")
    async def read_many() -> StreamingResponse:
        return StreamingResponse(b"a" * 2**16 for _ in range(10_000))

    with served(app, http=Impatient) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=30) as sock:
            sock.sendall(b"GET /many HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(2)
            assert len(everything(sock)) < 10_000 * 2**16
