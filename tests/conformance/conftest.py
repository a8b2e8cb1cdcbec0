"""A live server over a test's own database, for clients that only speak HTTP."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from maestro_ml.db.engine import make_engines
from maestro_ml.db.work import Sessions
from support.wire import mlflow_app


class Live(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[str]:
    """The address of the server."""
    engines = make_engines(database)
    app = mlflow_app(Sessions(engines), tmp_path)
    live = Live(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=5))

    async def serve() -> None:
        await live.serve()
        await engines.dispose()

    thread = threading.Thread(target=asyncio.run, args=[serve()], daemon=True)
    thread.start()
    assert live.listens.wait(30)
    yield live.url
    live.should_exit = True
    thread.join()
