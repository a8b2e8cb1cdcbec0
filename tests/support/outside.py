"""Where the server must not go, and receivers that would hold it up."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

INSIDE = (
    *("http://127.0.0.1:{port}", "https://127.0.0.1:{port}", "http://localhost:{port}"),
    *("https://localhost:{port}", "http://[::1]:{port}", "http://[::ffff:127.0.0.1]:{port}"),
    *("http://0.0.0.0:{port}", "http://0:{port}", "http://2130706433:{port}"),
    *("http://0x7f.1:{port}", "http://127.1:{port}", "http://a@127.0.0.1:{port}"),
    *("http://evil#@127.0.0.1:{port}", "http://evil.test\\@127.0.0.1:{port}"),
    *("http://127.0.0.1:{port}?x=", "http://169.254.169.254/latest", "https://169.254.169.254"),
    *("https://[fd00::1]", "https://10.0.0.1", "https://100.64.0.1", "https://224.0.0.1"),
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}", "unix:/run/x.sock", "s3://other-bucket"),
    *("https://8.8.8.8:22", "https://8.8.8.8:25", "https://8.8.8.8:6379", "http://8.8.8.8"),
)


@contextmanager
def a_trap() -> Iterator[socket.socket]:
    """Something of the house's own, which must never hear of anybody."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def pours(door: BaseHTTPRequestHandler) -> bool:
    door.send_response(200)
    door.end_headers()
    try:
        for _ in range(160_000):  # ten gigabytes
            door.wfile.write(b" " * 2**16)
    except OSError:
        return True
    raise AssertionError("all of it was read")


def hangs(door: BaseHTTPRequestHandler) -> bool:
    door.send_response(200)
    door.end_headers()
    door.wfile.flush()
    try:
        for _ in range(6000):
            door.wfile.write(b" ")
            time.sleep(0.1)
    except OSError:
        return True
    raise AssertionError("it was waited for")
