"""An application served by uvicorn on loopback, in a thread with a loop of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from support.live import free_port


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.ready.set()


@contextmanager
def served(app: ASGIApp, **options: Any) -> Iterator[str]:
    """Its address, while it runs; `options` are uvicorn's."""
    port = free_port()
    options = {"log_level": "warning", "lifespan": "on"} | options
    config = uvicorn.Config(app, host="127.0.0.1", port=port, **options)
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.ready.wait(30), "the server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
